------------------------------- MODULE Erasure -------------------------------
(***************************************************************************)
(* The erasure of a thread, or of a whole log: DEL-8.  The intent is       *)
(* stored in the append that ends the open runs of its scope; the journal  *)
(* then erases entry by entry, also after a crash; the end of the erasure  *)
(* is one more entry.  The same machine as src/kernel/user/threads.rs and  *)
(* src/user/hub/erasing.rs; model/src/models/erasure.rs explores that one, *)
(* and a test finds the two graphs equal.                                  *)
(***************************************************************************)
EXTENDS Kernel

CONSTANTS Messages, Threads,  \* numbers from 1; the run of message m is m
          IntentsMax,         \* erasures in all
          ErasuresMax         \* erasures_open_max

VARIABLES alive,    \* the process is there
          user,     \* the machine: its head, its runs, its messages
          thinned,  \* messages left memory for an erasure
          erasing,  \* the machine's erasures, by number
          log,      \* what was appended
          gone,     \* the offsets that the journal has erased
          intents   \* the erasures that the journal has stored: scope (0: all), last offset
vars == <<alive, user, thinned, erasing, log, gone, intents>>

ASSUME Messages \subseteq Nat /\ Threads \subseteq Nat /\ {IntentsMax, ErasuresMax} \subseteq Nat

Runs == Messages

InScope(scope, thread) == scope = 0 \/ scope = thread
Covers(k, i) == /\ log[i].kind # "erased" /\ i <= intents[k].through
                /\ InScope(intents[k].scope, log[i].thread)
HasEnd(k)    == \E i \in 1..Len(log) : log[i].kind = "erased" /\ log[i].seq = k
OpenIntents  == {k \in 1..Len(intents) : ~HasEnd(k)}
Left(k)      == {i \in 1..Len(log) : Covers(k, i) /\ i \notin gone}

(* The end of an erasure belongs to no run.                                *)
EndOf(k) == [run |-> 0, seq |-> k, kind |-> "erased", thread |-> intents[k].scope, message |-> 0, call |-> 0,
             what |-> "", parent |-> intents[k].through, into |-> 0]

RECURSIVE FoldLog(_, _)
FoldLog(u, entries) ==
  IF entries = <<>> THEN u
  ELSE FoldLog(IF Head(entries).kind = "erased" THEN [u EXCEPT !.head = @ + 1] ELSE Evolve(u, Head(entries)), Tail(entries))

(* The messages that stay in memory.                                       *)
Dropped(recent, scope, through) ==
  SelectSeq(recent, LAMBDA r : ~(InScope(scope, r.thread) /\ r.offset <= through))
RECURSIVE DroppedBy(_, _)
DroppedBy(recent, S) ==
  IF S = {} THEN recent
  ELSE DroppedBy(Dropped(recent, intents[Min(S)].scope, intents[Min(S)].through), S \ {Min(S)})

-----------------------------------------------------------------------------
InJournal(m)  == \E i \in 1..Len(log) : log[i].kind = "user_message" /\ log[i].message = m
LatestKept(t) == LET own == {i \in 1..Len(log) : InThread(log, t, i) /\ i \notin gone}
                 IN  IF own = {} THEN 0 ELSE Max(own)
Erases(t, at) == \E n \in 1..Len(erasing) :
                   InScope(intents[erasing[n]].scope, t) /\ at <= intents[erasing[n]].through
(* A message follows none that is being erased.                            *)
Older(t)      == IF ~(thinned \/ Len(user.recent) >= RecentMax) \/ Erases(t, LatestKept(t)) THEN 0 ELSE LatestKept(t)

Add(entries) == /\ log' = log \o entries /\ user' = EvolveAll(user, entries)
                /\ UNCHANGED <<alive, thinned, erasing, gone, intents>>

DoSend == alive /\ \E m \in Messages, t \in Threads :
  LET new == Send(user, m, t, "enqueue", LatestOf(user, t, Older(t)), TRUE, m, InJournal(m))
  IN  new # <<>> /\ Add(new)
DoCancel == alive /\ \E r \in Runs : LET new == Cut(user, r, "cancelled") IN new # <<>> /\ Add(new)

RECURSIVE EndAll(_, _)
EndAll(u, S) ==
  IF S = {} THEN <<>> ELSE EndLine(u, Line(u, Min(S)), "cancelled") \o EndAll(u, S \ {Min(S)})

DoErase == /\ alive /\ Len(intents) < IntentsMax /\ Len(erasing) < ErasuresMax
           /\ \E scope \in Threads \cup {0} :
                LET new   == EndAll(user, IF scope = 0 THEN Threads ELSE {scope})
                    after == EvolveAll(user, new)
                    kept  == Dropped(after.recent, scope, after.head)
                IN  /\ log' = log \o new
                    /\ user' = [after EXCEPT !.recent = kept]
                    /\ thinned' = (thinned \/ Len(kept) < Len(after.recent))
                    /\ erasing' = Append(erasing, Len(intents) + 1)
                    /\ intents' = Append(intents, [scope |-> scope, through |-> after.head])
                    /\ UNCHANGED <<alive, gone>>

(* The journal erases one more entry of the first erasure.                 *)
Step == /\ alive /\ erasing # <<>> /\ Left(Head(erasing)) # {}
        /\ gone' = gone \cup {Min(Left(Head(erasing)))}
        /\ UNCHANGED <<alive, user, thinned, erasing, log, intents>>
(* Nothing is left of it.                                                  *)
DoEnd == /\ alive /\ erasing # <<>> /\ Left(Head(erasing)) = {}
         /\ log' = Append(log, EndOf(Head(erasing)))
         /\ user' = [user EXCEPT !.head = @ + 1]
         /\ erasing' = Tail(erasing)
         /\ UNCHANGED <<alive, thinned, gone, intents>>

Crash == /\ alive /\ alive' = FALSE /\ user' = NoUser /\ thinned' = FALSE /\ erasing' = <<>>
         /\ UNCHANGED <<log, gone, intents>>

RECURSIVE Ascending(_)
Ascending(S) == IF S = {} THEN <<>> ELSE <<Min(S)>> \o Ascending(S \ {Min(S)})

Known == LET all == [i \in 1..Len(log) |-> [message |-> log[i].message, run |-> log[i].run, offset |-> i,
                                            thread |-> log[i].thread]]
         IN  Latest(SelectSeq(all, LAMBDA r : log[r.offset].kind = "user_message" /\ r.offset \notin gone))
Recover == /\ ~alive /\ alive' = TRUE
           /\ user' = [head |-> Len(log), runs |-> FoldLog(NoUser, log).runs,
                       recent |-> DroppedBy(Known, OpenIntents)]
           /\ thinned' = (Len(DroppedBy(Known, OpenIntents)) < Len(Known))
           /\ erasing' = Ascending(OpenIntents)
           /\ UNCHANGED <<log, gone, intents>>

Init == /\ alive = TRUE /\ user = NoUser /\ thinned = FALSE /\ erasing = <<>>
        /\ log = <<>> /\ gone = {} /\ intents = <<>>
Next == DoSend \/ DoCancel \/ DoErase \/ Step \/ DoEnd \/ Crash \/ Recover

Spec     == Init /\ [][Next]_vars
(* However often the process dies, it comes back and goes on.              *)
FairSpec == Spec /\ WF_vars(Recover) /\ SF_vars(Step) /\ SF_vars(DoEnd)

-----------------------------------------------------------------------------
TypeOK == /\ alive \in BOOLEAN /\ thinned \in BOOLEAN /\ IsUser(user) /\ gone \subseteq 1..Len(log)
          /\ alive => user.head = Len(log)
          /\ Len(intents) <= IntentsMax /\ Len(erasing) <= ErasuresMax
          /\ \A k \in 1..Len(intents) : intents[k].through \in 0..Len(log)
EndsOnce == \A k \in 1..Len(intents) :                                        \* DEL-8
  /\ Cardinality({i \in 1..Len(log) : log[i].kind = "erased" /\ log[i].seq = k}) <= 1
  /\ HasEnd(k) => Left(k) = {}
OnlyMeant == \A i \in gone : \E k \in 1..Len(intents) : Covers(k, i)          \* DEL-8
NothingOpen == \A k \in 1..Len(intents), r \in DOMAIN user.runs :             \* DEL-8
  ~(InScope(intents[k].scope, user.runs[r].thread) /\ user.runs[r].accepted <= intents[k].through)
Forgets == \A k \in 1..Len(intents), n \in 1..Len(user.recent) :              \* DEL-8
  ~(InScope(intents[k].scope, user.recent[n].thread) /\ user.recent[n].offset <= intents[k].through)
FollowsKept == \A i \in 1..Len(log), k \in 1..Len(intents) :                  \* DEL-8
  ~(/\ log[i].kind = "user_message" /\ log[i].parent # 0 /\ i > intents[k].through
    /\ InScope(intents[k].scope, log[i].thread) /\ log[i].parent <= intents[k].through)
OneMessage ==                                                                 \* DEL-6
  \A i, j \in 1..Len(log) :
    log[i].kind = "user_message" /\ log[j].kind = "user_message" /\ log[i].message = log[j].message => i = j

Begun(k) == k <= Len(intents)
EveryErasureEnds == \A k \in 1..IntentsMax : Begun(k) ~> HasEnd(k)            \* DEL-8

THEOREM Spec => [](TypeOK /\ EndsOnce /\ OnlyMeant /\ NothingOpen /\ Forgets /\ FollowsKept /\ OneMessage)
THEOREM FairSpec => EveryErasureEnds
=============================================================================
