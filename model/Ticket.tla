-------------------------------- MODULE Ticket --------------------------------
(***************************************************************************)
(* Tickets, as src/kernel/ticket.rs and the store around it: issued to an  *)
(* authenticated user, redeemed by the first that comes in time, on one of *)
(* two seats.  model/src/models/ticket.rs puts the shipped machine into    *)
(* the same environment; a test finds the two graphs equal.                *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets

CONSTANTS Tickets, Seats, TtlMax, TimeMax,
          CredentialEnds   \* when the credential of each ticket's issuer ends

ASSUME Tickets \subseteq Nat /\ Seats \subseteq Nat /\ {TtlMax, TimeMax} \subseteq Nat
ASSUME \A t \in Tickets : CredentialEnds[t] \in Nat

(* For Ticket.cfg: TLC reads no sequence in a configuration.               *)
Ends == <<2, 9>>

VARIABLES now,
          ticket,   \* of each: what it is, when it was issued and for how long, how often it opened
          seat      \* which ticket opened each seat, and when; 0 is free
vars == <<now, ticket, seat>>

None == [is |-> "none", issued |-> 0, ttl |-> 0, opened |-> 0]
Free == [ticket |-> 0, at |-> 0]
Min(a, b) == IF a < b THEN a ELSE b

GoodUntil(t) == Min(ticket[t].issued + ticket[t].ttl, CredentialEnds[t])      \* AUTH-2

(* Time passes.                                                            *)
Tick == now < TimeMax /\ now' = now + 1 /\ UNCHANGED <<ticket, seat>>

(* A user issues a ticket, for a time up to the limit.                     *)
Issue == \E t \in Tickets, ttl \in 1..TtlMax :                                \* AUTH-2
  /\ ticket[t].is = "none" /\ now < CredentialEnds[t]
  /\ ticket' = [ticket EXCEPT ![t] = [is |-> "issued", issued |-> now, ttl |-> ttl, opened |-> 0]]
  /\ UNCHANGED <<now, seat>>

(* A ticket opens a seat, or is found to be too late.                      *)
Redeem == \E s \in Seats, t \in Tickets :
  /\ seat[s] = Free /\ ticket[t].is = "issued"                                \* AUTH-1
  /\ IF now < GoodUntil(t)                                                    \* AUTH-2
     THEN /\ ticket' = [ticket EXCEPT ![t].is = "redeemed", ![t].opened = @ + 1]
          /\ seat' = [seat EXCEPT ![s] = [ticket |-> t, at |-> now]]
     ELSE ticket' = [ticket EXCEPT ![t].is = "expired"] /\ UNCHANGED seat
  /\ UNCHANGED now

(* The store drops a ticket whose time is over.                            *)
Lapse == \E t \in Tickets :
  /\ ticket[t].is = "issued" /\ now >= GoodUntil(t)
  /\ ticket' = [ticket EXCEPT ![t].is = "expired"]
  /\ UNCHANGED <<now, seat>>

(* A connection closes.                                                    *)
Close == \E s \in Seats : seat[s] # Free /\ seat' = [seat EXCEPT ![s] = Free] /\ UNCHANGED <<now, ticket>>

Init == now = 0 /\ ticket = [t \in Tickets |-> None] /\ seat = [s \in Seats |-> Free]
Next == Tick \/ Issue \/ Redeem \/ Lapse \/ Close

Spec     == Init /\ [][Next]_vars
FairSpec == Spec /\ WF_vars(Tick) /\ SF_vars(Lapse)

-----------------------------------------------------------------------------
TypeOK   == /\ now \in 0..TimeMax
            /\ \A t \in Tickets : /\ ticket[t].is \in {"none", "issued", "redeemed", "expired"}
                                  /\ ticket[t].issued \in 0..now /\ ticket[t].ttl \in Nat
            /\ \A s \in Seats : seat[s].ticket \in Tickets \cup {0} /\ seat[s].at \in 0..now
Once     == \A t \in Tickets : ticket[t].opened <= 1                          \* AUTH-1
InTime   == \A s \in Seats : seat[s].ticket # 0 => seat[s].at < GoodUntil(seat[s].ticket)   \* AUTH-2
Bounded  == \A t \in Tickets : ticket[t].ttl <= TtlMax                        \* AUTH-2
Consumed == \A t \in Tickets :                                                \* AUTH-2
  /\ (ticket[t].is = "redeemed") = (ticket[t].opened = 1)
  /\ ticket[t].is = "expired" => now >= GoodUntil(t)
(* Time ends at TimeMax: only a ticket that may not outlive it has to end. *)
NoneStays == \A t \in Tickets :                                               \* AUTH-2
  (ticket[t].is = "issued" /\ GoodUntil(t) <= TimeMax) ~> (ticket[t].is \in {"redeemed", "expired"})

THEOREM Spec => [](TypeOK /\ Once /\ InTime /\ Bounded /\ Consumed)
THEOREM FairSpec => NoneStays
=============================================================================
