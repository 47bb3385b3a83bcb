---------------------------- MODULE TraceDelivery ----------------------------
(***************************************************************************)
(* A user's log and connections that the service recorded are a behaviour  *)
(* of Delivery.tla.  Recorded is that the log grows, a connection opens    *)
(* after its cursor, has sent up to an offset, asks, is answered, closes.  *)
(* What the hub decides, flushes, and what a client receives are searched. *)
(* Steps that no trace needs (a crash, a trim, a failing append) are left  *)
(* out of the search, which can only refuse more.  How it is used:         *)
(* TraceRun.tla.                                                           *)
(***************************************************************************)
EXTENDS Delivery

CONSTANTS All,      \* the entries
          Steps,    \* each a record: what is seen, of which client, at which offset, with which head
          LogMax, May, Must, SentMax, MayAsk,  \* for each step: how long the log may be, which clients
                    \* may and have to be connected, how far each was sent, and whether a message was
          Returns   \* whether a client resumes after a cursor, so that it matters what it receives
VARIABLE l          \* the number of the next step

Seen == LET s == Steps[l]
            c == s.client IN
  CASE s.is = "log"      -> Len(log) = s.at
    [] s.is = "opened"   -> IsUp(c) /\ link[c].sent = s.at /\ Len(log) = s.head
    [] s.is = "sent"     -> link[c].sent = s.at
    [] s.is = "asked"    -> link[c].message # "unsent"
    [] s.is = "answered" -> link[c].message = "answered"
    [] s.is = "closed"   -> ~IsUp(c)

Within == /\ Len(log') <= LogMax[l]
          /\ Len(log') + Len(hub'.batch) <= Len(All)
          /\ log' \o hub'.batch = SubSeq(All, 1, Len(log') + Len(hub'.batch))
          /\ \A c \in Clients : link'[c].phase # "none" => c \in May[l]
          /\ \A c \in Clients : c \in Must[l] => link'[c].phase # "none"
          /\ \A c \in Clients : link'[c].sent <= SentMax[l][c]
          /\ \A c \in Clients : link'[c].message # "unsent" => MayAsk[l]
          /\ Returns \/ client' = client

(* A step of the service that is not recorded.                             *)
Hidden == /\ l <= Len(Steps)
          /\ \/ Restart \/ DoThink \/ DoSucceed \/ Deadline \/ Take \/ Write \/ Ask
             \/ \E c \in Clients : Connect(c) \/ Read(c) \/ Flushed(c) \/ Receive(c) \/ Drop(c)
          /\ Within
          /\ UNCHANGED l
(* The next of the recorded steps has been taken.                          *)
Observed == l <= Len(Steps) /\ Seen /\ l' = l + 1 /\ UNCHANGED vars

TraceInit == Init /\ l = 1
TraceNext == Hidden \/ Observed
TraceSpec == TraceInit /\ [][TraceNext]_<<vars, l>>
NotAccepted == l <= Len(Steps)
=============================================================================
