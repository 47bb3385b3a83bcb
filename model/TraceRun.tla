------------------------------ MODULE TraceRun ------------------------------
(***************************************************************************)
(* One run that the service recorded is a behaviour of Run.tla: each event *)
(* is one step.  A generated module `Trace` extends this one and defines   *)
(* the constants; the trace is accepted if NotAccepted can be violated.    *)
(***************************************************************************)
EXTENDS Run

CONSTANT All  \* the events, from the first
VARIABLE l    \* the number of the next event; the first is there from the beginning

TraceInit == Init /\ l = 2
TraceNext == /\ l <= Len(All) /\ Next
             /\ word' = SubSeq(All, 1, l)
             /\ l' = l + 1
TraceSpec == TraceInit /\ [][TraceNext]_<<vars, l>>
NotAccepted == l <= Len(All)
=============================================================================
