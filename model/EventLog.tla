------------------------------ MODULE EventLog ------------------------------
(***************************************************************************)
(* What the service promises to one user, without how it keeps it: a log   *)
(* that only grows, in which no entry stands twice; acknowledgements of    *)
(* entries that the log has and never loses; readers that move forward and *)
(* never beyond the log.  User.tla, Fence.tla and Delivery.tla refine this *)
(* module: each instantiates it as Log, and Log!Spec is a property of      *)
(* their configurations.                                                   *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS Readers,  \* numbers from 1
          Entries   \* the identities that entries may have

VARIABLES log,      \* the identities of the entries, in order
          acked,    \* the entries that were acknowledged to their senders
          cursor    \* how many entries each reader has passed
vars == <<log, acked, cursor>>

Range(s)       == {s[i] : i \in 1..Len(s)}
IsPrefix(s, t) == Len(s) <= Len(t) /\ SubSeq(t, 1, Len(s)) = s
NoRepeat(s)    == \A i, j \in 1..Len(s) : s[i] = s[j] => i = j

(* All logs; for EventLog.cfg, finitely many.                              *)
Logs       == Seq(Entries)
FiniteLogs == UNION {[1..n -> Entries] : n \in 0..Cardinality(Entries)}

(* One or more entries are appended; some may be acknowledged at once.     *)
Extend == /\ log' \in Logs /\ log' # log /\ IsPrefix(log, log') /\ NoRepeat(log')
          /\ acked' \in SUBSET Range(log') /\ acked \subseteq acked'
          /\ cursor' = cursor
(* Entries of the log are acknowledged.                                    *)
Acknowledge == /\ acked' \in SUBSET Range(log) /\ acked \subseteq acked' /\ acked # acked'
               /\ log' = log /\ cursor' = cursor
(* A reader passes the next entries.                                       *)
Read == /\ \E r \in Readers : \E n \in (cursor[r] + 1)..Len(log) : cursor' = [cursor EXCEPT ![r] = n]
        /\ log' = log /\ acked' = acked

Init == log = <<>> /\ acked = {} /\ cursor = [r \in Readers |-> 0]
Next == Extend \/ Acknowledge \/ Read
Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
TypeOK == log \in Logs /\ acked \subseteq Entries /\ cursor \in [Readers -> 0..Len(log)]   \* DEL-1
Once   == NoRepeat(log)                                                      \* DEL-2, DEL-6
Kept   == acked \subseteq Range(log)                                         \* DEL-5, DEL-7

(* No entry changes or goes, no acknowledgement is withdrawn, no reader    *)
(* goes back.                                                              *)
Grows  == [][IsPrefix(log, log') /\ acked \subseteq acked'                   \* DEL-2, DEL-5
             /\ \A r \in Readers : cursor[r] <= cursor'[r]]_vars

THEOREM Spec => [](TypeOK /\ Once /\ Kept) /\ Grows
=============================================================================
