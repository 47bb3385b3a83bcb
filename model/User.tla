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

Runs == Messages
OnBusy == {"enqueue", "reject", "interrupt"}

Add(entries) == entries # <<>> /\ log' = log \o entries /\ user' = EvolveAll(user, entries)

InJournal(m) == \E i \in 1..Len(log) : log[i].kind = "user_message" /\ log[i].message = m

DoSend      == \E m \in Messages, t \in Threads, b \in OnBusy : Add(Send(user, m, t, b, m, InJournal(m)))
DoCancel    == \E r \in Runs : Add(Cut(user, r, "cancelled"))
DoAnswer    == \E r \in Runs, c \in Calls : Add(Answer(user, r, c))
DoThink     == \E r \in Runs : Add(Think(user, r))
DoOpen      == \E r \in Runs, c \in Calls, by \in By : Add(Open(user, r, c, by))
DoClose     == \E r \in Runs, c \in Calls : Add(Close(user, r, c))
DoSucceed   == \E r \in Runs : Add(Succeed(user, r))
DoFail      == \E r \in Runs : Add(Fail(user, r))
DoCut       == \E r \in Runs, what \in {"failed", "timed_out", "interrupted"} : Add(Cut(user, r, what))
DoCloseCall == \E r \in Runs, c \in Calls : Add(CloseCall(user, r, c))
DoResume    == \E r \in Runs, keep \in {{}} \cup {{c} : c \in Calls} : Add(Resume(user, r, keep))

Init == user = NoUser /\ log = <<>>
Next == \/ DoSend \/ DoCancel \/ DoAnswer
        \/ DoThink \/ DoOpen \/ DoClose \/ DoSucceed \/ DoFail
        \/ DoCut \/ DoCloseCall \/ DoResume

Spec     == Init /\ [][Next]_vars
(* Agents and clients may do nothing for ever; the deadline may not: RUN-6. *)
FairSpec == Spec /\ WF_vars(DoCut)

-----------------------------------------------------------------------------
Legal == LegalLog(log)                                       \* RUN-1 ... RUN-5

Fold == user = EvolveAll(NoUser, log)                        \* recovery by fold = live state

OneActive ==                                                 \* RUN-8
  \A t \in Threads : Cardinality({r \in Line(user, t) : IsBegun(user, r)}) <= 1
FirstIsActive ==                                             \* RUN-6, RUN-8
  \A t \in Threads : Line(user, t) # {} => IsBegun(user, FirstOf(user, Line(user, t)))
OneMessage ==                                                \* DEL-6
  \A i, j \in 1..Len(log) :
    log[i].kind = "user_message" /\ log[j].kind = "user_message" /\ log[i].message = log[j].message => i = j
OpenIsOpen ==                                                \* RUN-6
  \A r \in Runs : IsOpen(user, r) =
    (~IsOver(log, r) /\ \E i \in 1..Len(log) : log[i].run = r)

Accepted(r) == \E i \in 1..Len(log) : log[i].run = r
EveryRunEnds == \A r \in Runs : Accepted(r) ~> IsOver(log, r)   \* RUN-6
=============================================================================
