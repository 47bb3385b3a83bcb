-------------------------------- MODULE Fence --------------------------------
(***************************************************************************)
(* Ownership and fencing: nodes race for one user's log by compare-and-set *)
(* on its head (the log is the lock).  A node is a hub: it decides on its  *)
(* own view, appends the batch, and answers after that.  An append may be  *)
(* refused, fail, or succeed without the node learning of it; nodes crash  *)
(* and come back.  model/src/models/fence.rs is the same environment       *)
(* around the shipped kernel; a test finds the two graphs equal.           *)
(***************************************************************************)
EXTENDS Kernel

CONSTANTS Nodes, Messages       \* numbers from 1; the run of message m is m

VARIABLES log,      \* durable
          node,     \* what each node is, knows, has decided, promised, and may invoke
          told,     \* acceptances that were reported: pairs of message and run
          invoked   \* how often the tool of each run's call acted
vars == <<log, node, told, invoked>>

ASSUME Nodes \subseteq Nat /\ Messages \subseteq Nat

Runs == Messages
Down == [is |-> "down", user |-> NoUser, batch |-> <<>>, promise |-> 0, armed |-> {}]
Lost(armed) == [Down EXCEPT !.is = "lost", !.armed = armed]

Knows(n)   == node[n].is = "knows"
Idle(n)    == Knows(n) /\ node[n].batch = <<>>
Pending(n) == Knows(n) /\ node[n].batch # <<>>
Fits(n)    == node[n].user.head - Len(node[n].batch) = Len(log)      \* the fence

InJournal(m) == \E i \in 1..Len(log) : log[i].kind = "user_message" /\ log[i].message = m
RunOfMessage(m) == LET i == CHOOSE i \in 1..Len(log) : log[i].kind = "user_message" /\ log[i].message = m
                   IN  log[i].run

(* A node starts, and has not read the log yet.                            *)
Start(n) == /\ node[n].is = "down"
            /\ node' = [node EXCEPT ![n] = Lost({})]
            /\ UNCHANGED <<log, told, invoked>>

(* The runs that have begun are resumed, the first first (RUN-6).          *)
RECURSIVE ResumeEach(_, _)
ResumeEach(u, S) ==
  IF S = {} THEN <<>>
  ELSE LET r == Min(S) IN Resume(u, r, {}) \o ResumeEach(u, S \ {r})

(* A node reads the log: recovery is its fold.                             *)
Know(n) == /\ node[n].is = "lost"
           /\ LET u == EvolveAll(NoUser, log)
                  entries == ResumeEach(u, {r \in DOMAIN u.runs : IsBegun(u, r)})
              IN  node' = [node EXCEPT ![n] = [is |-> "knows", user |-> EvolveAll(u, entries), batch |-> entries,
                                               promise |-> 0, armed |-> node[n].armed]]
           /\ UNCHANGED <<log, told, invoked>>

(* A node decides a batch, and which message it will report as accepted.   *)
Decide(n, entries, promise) ==
  /\ entries # <<>>
  /\ node' = [node EXCEPT ![n].user = EvolveAll(@, entries), ![n].batch = entries, ![n].promise = promise]
  /\ UNCHANGED <<log, told, invoked>>

(* A client sends a message.                                               *)
SendOf(n, m) == LET u == node[n].user
                IN  Send(u, m, 1, "enqueue", LatestOf(u, 1, LatestIn(log, 1)), TRUE, m, InJournal(m))
DoSend(n)    == \E m \in Messages : Idle(n) /\ Decide(n, SendOf(n, m), m)
(* The same message again: the answer it got before (DEL-6).               *)
Again(n)     == \E m \in Messages :
                  /\ Idle(n)
                  /\ Remembered(node[n].user, m) # {} \/ InJournal(m)
                  /\ told' = told \cup {<<m, RunOfMessage(m)>>}
                  /\ UNCHANGED <<log, node, invoked>>
(* A client cancels a run.                                                 *)
DoCancel(n)  == \E r \in Runs : Idle(n) /\ Decide(n, Cut(node[n].user, r, "cancelled"), 0)
(* Agents and deadlines move the runs that the node carries out.           *)
DoThink(n)   == \E r \in Runs : Idle(n) /\ Decide(n, Think(node[n].user, r), 0)
DoOpen(n)    == \E r \in Runs : Idle(n) /\ Decide(n, Open(node[n].user, r, 1, "agent"), 0)
DoClose(n)   == \E r \in Runs : Idle(n) /\ Decide(n, Close(node[n].user, r, 1), 0)
DoSucceed(n) == \E r \in Runs : Idle(n) /\ Decide(n, Succeed(node[n].user, r), 0)
DoCut(n)     == \E r \in Runs : Idle(n) /\ IsBegun(node[n].user, r) /\ Decide(n, Cut(node[n].user, r, "timed_out"), 0)

Opened(entries) == {entries[i].run : i \in {j \in 1..Len(entries) : entries[j].kind = "tool_executing"}}

(* The append succeeds, and the node reports what it promised.             *)
Write(n) ==
  /\ Pending(n) /\ Fits(n)
  /\ log' = log \o node[n].batch
  /\ told' = IF node[n].promise = 0 THEN told                              \* DEL-1, DEL-5
             ELSE told \cup {<<node[n].promise, node[n].promise>>}
  /\ node' = [node EXCEPT ![n].batch = <<>>, ![n].promise = 0,
                          ![n].armed = @ \cup Opened(node[n].batch)]       \* RUN-9
  /\ UNCHANGED invoked

(* The append succeeds, and the node does not learn of it.                 *)
WriteUnheard(n) ==                                                         \* DEL-7
  /\ Pending(n) /\ Fits(n)
  /\ log' = log \o node[n].batch
  /\ node' = [node EXCEPT ![n] = Lost(node[n].armed)]
  /\ UNCHANGED <<told, invoked>>

(* The append is refused because another node was first, or it fails.      *)
WriteFails(n) == /\ Pending(n)
                 /\ node' = [node EXCEPT ![n] = Lost(node[n].armed)]
                 /\ UNCHANGED <<log, told, invoked>>

(* A tool acts for a call that is durable.                                 *)
Invoke(n) == \E r \in Runs :
  /\ r \in node[n].armed
  /\ node' = [node EXCEPT ![n].armed = @ \ {r}]
  /\ invoked' = [invoked EXCEPT ![r] = @ + 1]
  /\ UNCHANGED <<log, told>>

(* A node crashes.                                                         *)
Crash(n) == /\ node' = [node EXCEPT ![n] = Down]
            /\ UNCHANGED <<log, told, invoked>>

Init == /\ log = <<>> /\ node = [n \in Nodes |-> Down] /\ told = {}
        /\ invoked = [r \in Runs |-> 0]
Next == \E n \in Nodes :
          \/ Start(n) \/ Know(n)
          \/ DoSend(n) \/ Again(n) \/ DoCancel(n)
          \/ DoThink(n) \/ DoOpen(n) \/ DoClose(n) \/ DoSucceed(n) \/ DoCut(n)
          \/ Write(n) \/ WriteUnheard(n) \/ WriteFails(n)
          \/ Invoke(n) \/ Crash(n)

Spec == Init /\ [][Next]_vars
(* Nodes may crash again and again, and appends fail again and again: only *)
(* strong fairness lets a node get through in the end.                     *)
FairSpec == Spec /\ \A n \in Nodes : SF_vars(Start(n)) /\ SF_vars(Know(n)) /\ SF_vars(DoCut(n)) /\ SF_vars(Write(n))
WeakSpec == Spec /\ \A n \in Nodes : WF_vars(Start(n)) /\ WF_vars(Know(n)) /\ WF_vars(DoCut(n)) /\ WF_vars(Write(n))

-----------------------------------------------------------------------------
TypeOK ==
  /\ IsLog(log) /\ told \subseteq Messages \X Runs /\ \A r \in Runs : invoked[r] \in Nat
  /\ \A n \in Nodes : /\ node[n].is \in {"down", "lost", "knows"} /\ IsUser(node[n].user) /\ IsLog(node[n].batch)
                       /\ node[n].promise \in Messages \cup {0} /\ node[n].armed \subseteq Runs
Legal == LegalLog(log)                                                     \* RUN-1 RUN-2 RUN-3 RUN-4 RUN-5
Promised ==                                                                \* DEL-5
  \A p \in told : \E i \in 1..Len(log) : log[i].kind = "user_message" /\ log[i].message = p[1] /\ log[i].run = p[2]
OneMessage ==                                                              \* DEL-6
  \A i, j \in 1..Len(log) :
    log[i].kind = "user_message" /\ log[j].kind = "user_message" /\ log[i].message = log[j].message => i = j
OneEffect ==                                                               \* RUN-9
  \A r \in Runs : invoked[r] <= 1 /\ (invoked[r] = 1 => \E i \in 1..Len(log) : log[i].run = r /\ log[i].kind = "tool_executing")
Views ==                                                                   \* recovery by fold = live state
  \A n \in Nodes : Knows(n) =>
    node[n].user = EvolveAll(NoUser, SubSeq(log, 1, node[n].user.head - Len(node[n].batch)) \o node[n].batch)

Accepted(r) == \E i \in 1..Len(log) : log[i].run = r
EveryRunEnds == \A r \in Runs : Accepted(r) ~> IsOver(log, r)              \* RUN-6

Log == INSTANCE EventLog WITH log <- Ids(log), acked <- {<<p[2], 0>> : p \in told}, cursor <- <<>>,
                              Readers <- {}, Entries <- Runs \X Numbers
Refines == Log!Init /\ [][Log!Next]_(Log!vars)                                \* DEL-2, DEL-5, DEL-6

THEOREM Spec => [](TypeOK /\ Legal /\ Promised /\ OneMessage /\ OneEffect /\ Views)
THEOREM Spec => Refines
THEOREM FairSpec => EveryRunEnds
=============================================================================
