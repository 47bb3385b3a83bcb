------------------------------ MODULE TraceUser ------------------------------
(***************************************************************************)
(* A stretch of one user's log that the service recorded is a behaviour of *)
(* User.tla: the log grows as recorded, by one or more steps for each      *)
(* batch.  How it is used: TraceRun.tla.                                   *)
(***************************************************************************)
EXTENDS User

CONSTANTS All,   \* the entries
          Ends   \* how many of them there are at the end of each batch
VARIABLE l       \* the number of the next batch

(* A trace does not record the parents of messages.                        *)
Orphan(e) == [e EXCEPT !.parent = 0]
TraceInit == Init /\ l = 1
TraceNext == /\ l <= Len(Ends) /\ Next
             /\ Len(log') <= Ends[l]
             /\ [i \in 1..Len(log') |-> Orphan(log'[i])] = SubSeq(All, 1, Len(log'))
             /\ l' = IF Len(log') = Ends[l] THEN l + 1 ELSE l
TraceSpec == TraceInit /\ [][TraceNext]_<<vars, l>>
NotAccepted == l <= Len(Ends)
=============================================================================
