----------------------------- MODULE TraceTicket -----------------------------
(***************************************************************************)
(* One ticket that the service recorded is a behaviour of Ticket.tla.      *)
(* Recorded is what became of it, and when; the steps of Ticket.tla in     *)
(* between are searched.  How it is used: TraceRun.tla.                    *)
(***************************************************************************)
EXTENDS Ticket, Sequences

CONSTANTS Steps,  \* each a record: what the ticket is, at what time, how often it opened
          Ttl     \* for how long it was issued
VARIABLE l        \* the number of the next step

NoEnds == <<99>>  \* for CredentialEnds: the credential outlives the trace

Seen == /\ now = Steps[l].at /\ ticket[1].opened = Steps[l].opened
        /\ IF Steps[l].is = "unknown" THEN ticket[1].is # "issued" ELSE ticket[1].is = Steps[l].is

(* A step of the service that is not recorded.                             *)
Hidden == /\ l <= Len(Steps) /\ Next
          /\ ticket'[1].opened <= Steps[l].opened /\ ticket'[1].ttl \in {0, Ttl}
          /\ UNCHANGED l
(* The next of the recorded steps has been taken.                          *)
Observed == l <= Len(Steps) /\ Seen /\ l' = l + 1 /\ UNCHANGED vars

TraceInit == Init /\ l = 1
TraceNext == Hidden \/ Observed
TraceSpec == TraceInit /\ [][TraceNext]_<<vars, l>>
NotAccepted == l <= Len(Steps)
=============================================================================
