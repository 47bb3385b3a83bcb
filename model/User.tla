-------------------------------- MODULE User --------------------------------
(***************************************************************************)
(* One user's log: every command of clients, agents and the service, with  *)
(* ids of runs that are open, over or never were, in every state.  The     *)
(* same machine as src/kernel/user; model/src/models/user.rs explores      *)
(* that one, and a test finds the two graphs equal.                        *)
(***************************************************************************)
EXTENDS Kernel

CONSTANTS Messages, Threads     \* numbers from 1; the run of message m is m

VARIABLES user,  \* the machine
          log    \* what it has added
vars == <<user, log>>

ASSUME Messages \subseteq Nat /\ Threads \subseteq Nat

Runs == Messages

Add(entries) == /\ log' = log \o entries
                /\ user' = EvolveAll(user, entries)

InJournal(m) == \E i \in 1..Len(log) : log[i].kind = "user_message" /\ log[i].message = m

OffsetOf(m)  == LET at == {i \in 1..Len(log) : log[i].kind = "user_message" /\ log[i].message = m}
                IN  IF at = {} THEN 0 ELSE Max(at)

(* After the latest message of the thread, or after a named one.           *)
SendAfter(m, t, onBusy) ==
  Send(user, m, t, onBusy, LatestOf(user, t, LatestIn(log, t)), TRUE, m, InJournal(m))
SendTo(m, t, at) ==
  Send(user, m, t, "enqueue", at, MayFollow(user, t, at, InThread(log, t, at)), m, InJournal(m))

(* What a message to a busy thread does is the sender's choice: RUN-8.      *)
SendOrWait      == \E m \in Messages, t \in Threads :
                 LET new == SendAfter(m, t, "enqueue") IN new # <<>> /\ Add(new)
SendOrReject    == \E m \in Messages, t \in Threads :
                 LET new == SendAfter(m, t, "reject") IN new # <<>> /\ Add(new)
SendOrInterrupt == \E m \in Messages, t \in Threads :
                 LET new == SendAfter(m, t, "interrupt") IN new # <<>> /\ Add(new)
SendOrSteer     == \E m \in Messages, t \in Threads :
                 LET new == SendAfter(m, t, "steer") IN new # <<>> /\ Add(new)
SendAsRoot      == \E m \in Messages, t \in Threads : LET new == SendTo(m, t, 0) IN new # <<>> /\ Add(new)
SendAsBranch    == \E m, p \in Messages, t \in Threads :
                 OffsetOf(p) # 0 /\ LET new == SendTo(m, t, OffsetOf(p)) IN new # <<>> /\ Add(new)
(* A client cancels a run, or answers a question of its agent.             *)
DoCancel    == \E r \in Runs : LET new == Cut(user, r, "cancelled") IN new # <<>> /\ Add(new)
DoAnswer    == \E r \in Runs, c \in Calls : LET new == Answer(user, r, c) IN new # <<>> /\ Add(new)
(* An agent's steps, legal or not.                                         *)
DoThink     == \E r \in Runs : LET new == Think(user, r) IN new # <<>> /\ Add(new)
DoOpen      == \E r \in Runs, c \in Calls, by \in By : LET new == Open(user, r, c, by) IN new # <<>> /\ Add(new)
DoClose     == \E r \in Runs, c \in Calls : LET new == Close(user, r, c) IN new # <<>> /\ Add(new)
DoSucceed   == \E r \in Runs : LET new == Succeed(user, r) IN new # <<>> /\ Add(new)
DoFail      == \E r \in Runs : LET new == Fail(user, r) IN new # <<>> /\ Add(new)
(* An agent takes the messages that wait for its run: RUN-12.              *)
DoTake      == \E r \in Runs : LET new == TakeWaiting(user, r) IN new # <<>> /\ Add(new)
(* The service ends a run or a call, or resumes a run after a crash.       *)
DoCut       == \E r \in Runs, what \in {"failed", "timed_out", "interrupted"} : LET new == Cut(user, r, what) IN new # <<>> /\ Add(new)
DoCloseCall == \E r \in Runs, c \in Calls : LET new == CloseCall(user, r, c) IN new # <<>> /\ Add(new)
DoResume    == \E r \in Runs, keep \in {{}} \cup {{c} : c \in Calls} : LET new == Resume(user, r, keep) IN new # <<>> /\ Add(new)
DoExhaust   == \E r \in Runs : LET new == Exhaust(user, r) IN new # <<>> /\ Add(new)

Init == user = NoUser /\ log = <<>>
Next == \/ SendOrWait \/ SendOrReject \/ SendOrInterrupt \/ SendOrSteer \/ SendAsRoot \/ SendAsBranch \/ DoCancel \/ DoAnswer
        \/ DoThink \/ DoOpen \/ DoClose \/ DoSucceed \/ DoFail \/ DoTake
        \/ DoCut \/ DoCloseCall \/ DoResume \/ DoExhaust

Spec     == Init /\ [][Next]_vars
(* Agents and clients may do nothing for ever; the deadline may not: RUN-6. *)
FairSpec == Spec /\ WF_vars(DoCut)

-----------------------------------------------------------------------------
TypeOK == IsUser(user) /\ IsLog(log) /\ user.head = Len(log)
Legal == LegalLog(log)                                       \* RUN-1 RUN-2 RUN-3 RUN-4 RUN-5

Fold == user = EvolveAll(NoUser, log)                        \* recovery by fold = live state

OneActive ==                                                 \* RUN-8
  \A t \in Threads : Cardinality({r \in Line(user, t) : IsBegun(user, r)}) <= 1
FirstIsActive ==                                             \* RUN-6, RUN-8
  \A t \in Threads : Line(user, t) # {} => IsBegun(user, FirstOf(user, Line(user, t)))
OneMessage ==                                                \* DEL-6
  \A i, j \in 1..Len(log) :
    log[i].kind = "user_message" /\ log[j].kind = "user_message" /\ log[i].message = log[j].message => i = j
Tree == IsTree(log)                                          \* ISO-3
Merges == TakenByActive(log)                                 \* RUN-12
OpenIsOpen ==                                                \* RUN-6
  \A r \in Runs : IsOpen(user, r) =
    (~IsOver(log, r) /\ \E i \in 1..Len(log) : log[i].run = r)

Accepted(r) == \E i \in 1..Len(log) : log[i].run = r
EveryRunEnds == \A r \in Runs : Accepted(r) ~> IsOver(log, r)   \* RUN-6

(* The abstract log: a message is acknowledged as it is decided.           *)
Accepts == {<<log[i].run, 0>> : i \in {j \in 1..Len(log) : log[j].kind = "user_message"}}
Log == INSTANCE EventLog WITH log <- Ids(log), acked <- Accepts, cursor <- <<>>, Readers <- {},
                              Entries <- Runs \X Numbers
Refines == Log!Init /\ [][Log!Next]_(Log!vars)                  \* DEL-2, DEL-5, DEL-6

THEOREM Spec => [](TypeOK /\ Legal /\ Fold /\ OneActive /\ FirstIsActive /\ OneMessage /\ Tree /\ Merges /\ OpenIsOpen)
THEOREM Spec => Refines
THEOREM FairSpec => EveryRunEnds
=============================================================================
