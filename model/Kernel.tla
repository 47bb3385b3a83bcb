------------------------------- MODULE Kernel -------------------------------
(***************************************************************************)
(* What src/kernel decides, as operators without a state of their own: one *)
(* run (src/kernel/run), one user's log (src/kernel/user).  The other      *)
(* modules put these into an environment each.  Rule ids: docs/rules.md.   *)
(*                                                                         *)
(* Left out, here and in the code that is compared with it: time, texts,   *)
(* tool names, JSON, and the limits in bytes.  No decision depends on any  *)
(* of it but through those limits.  Tickets depend on time: Ticket.tla.    *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS Calls,        \* call ids, numbers from 1
          EventsMax,    \* run_events_max
          OpenCallsMax, \* open_calls_max
          RunCallsMax,  \* run_calls_max
          OpenRunsMax,  \* open_runs_max
          QueuedMax,    \* queued_messages_max
          RecentMax     \* recent_messages_max

ASSUME Calls \subseteq Nat
ASSUME {EventsMax, OpenCallsMax, RunCallsMax, OpenRunsMax, QueuedMax, RecentMax} \subseteq Nat

Min(S) == CHOOSE x \in S : \A y \in S : x <= y
Max(S) == CHOOSE x \in S : \A y \in S : x >= y

-----------------------------------------------------------------------------
(* One run: its phase, the number of its last event, every call it ever    *)
(* opened, and who executes each call that is open.                        *)

Waiting == [phase |-> "waiting", seq |-> 0, opened |-> {}, open |-> <<>>]
Started == [phase |-> "started", seq |-> 1, opened |-> {}, open |-> <<>>]     \* RUN-1

By == {"agent", "client"}
IsRun(r) == /\ r.phase \in {"waiting", "started", "thinking", "executing", "completed"}
            /\ r.seq \in Nat /\ r.opened \subseteq Calls /\ DOMAIN r.open \subseteq r.opened
            /\ \A c \in DOMAIN r.open : r.open[c] \in By
MayClose(closer, by) == closer = "service" \/ closer = by                     \* RUN-11

CanThink(r)           == r.phase \in {"started", "thinking", "executing"}     \* RUN-5
CanOpen(r, c)         == r.phase \in {"thinking", "executing"}                \* RUN-3
                         /\ c \notin r.opened                                 \* RUN-4
CanClose(r, c, closer) == c \in DOMAIN r.open                                 \* RUN-4
                          /\ MayClose(closer, r.open[c])                      \* RUN-11
CanSucceed(r)         == r.phase = "thinking"                                 \* RUN-3, RUN-5
CanCut(r)             == r.phase \in {"started", "thinking"}                  \* RUN-5
CanMerge(r)           == r.phase = "started"                                  \* RUN-12

Thinks(r)     == [r EXCEPT !.seq = @ + 1, !.phase = IF @ = "started" THEN "thinking" ELSE @]
Opens(r, c, by) == [r EXCEPT !.seq = @ + 1, !.phase = "executing",
                             !.opened = @ \cup {c}, !.open = @ @@ (c :> by)]
Closes(r, c)  == LET rest == [d \in DOMAIN r.open \ {c} |-> r.open[d]]
                 IN  [r EXCEPT !.seq = @ + 1, !.open = rest,
                               !.phase = IF DOMAIN rest = {} THEN "thinking" ELSE "executing"]
Completes(r)  == [r EXCEPT !.seq = @ + 1, !.phase = "completed"]              \* RUN-5

-----------------------------------------------------------------------------
(* Entries of a log.  An event's `what` is its status, or who executes the *)
(* call; a message's is "steers" if it waits for the active run to take it *)
(* (RUN-12).  `parent` is the offset of the message that a message follows *)
(* in its thread, `into` the run that took the message; 0: none.           *)

Message(run, thread, message, parent, what) ==
  [run |-> run, seq |-> 0, kind |-> "user_message", thread |-> thread, message |-> message, call |-> 0, what |-> what,
   parent |-> parent, into |-> 0]
Event(run, open, seq, kind, call, what) ==
  [run |-> run, seq |-> seq, kind |-> kind, thread |-> open.thread, message |-> 0, call |-> call, what |-> what,
   parent |-> 0, into |-> 0]

IsEntry(e) == /\ e.run \in Nat /\ e.seq \in Nat /\ e.thread \in Nat /\ e.message \in Nat
              /\ e.call \in Calls \cup {0} /\ e.parent \in Nat /\ e.into \in Nat
              /\ e.kind \in {"user_message", "agent_started", "agent_thinking", "tool_executing",
                            "tool_completed", "agent_completed"}
IsLog(log) == \A i \in 1..Len(log) : IsEntry(log[i])
(* What tells one entry from another: its run, and its number in the run.  *)
Ids(log)   == [i \in 1..Len(log) |-> <<log[i].run, log[i].seq>>]
Numbers    == 0..(EventsMax + Cardinality(Calls) + 1)  \* the message, the events, and an early end

StartedEvent(run, open) ==
  [Event(run, open, 1, "agent_started", 0, "") EXCEPT !.message = open.message]

(* A user's state: the head, every run that is accepted and not completed, *)
(* and the latest messages.                                                *)
NoUser == [head |-> 0, runs |-> <<>>, recent |-> <<>>]

Line(u, thread)   == {r \in DOMAIN u.runs : u.runs[r].thread = thread}
FirstOf(u, S)     == CHOOSE r \in S : \A q \in S : u.runs[r].accepted <= u.runs[q].accepted
IsOpen(u, r)      == r \in DOMAIN u.runs
IsBegun(u, r)     == IsOpen(u, r) /\ u.runs[r].run.phase # "waiting"

IsUser(u) == /\ u.head \in Nat /\ Len(u.recent) <= RecentMax
             /\ \A r \in DOMAIN u.runs : IsRun(u.runs[r].run) /\ u.runs[r].accepted \in 1..u.head

Remembered(u, m)  == {i \in 1..Len(u.recent) : u.recent[i].message = m}

(* The parent of a message: the latest of its thread, or a named one.  The *)
(* journal has those that memory does not: `older`, `isInJournal`.         *)
LatestOf(u, thread, older) ==
  LET own == {i \in 1..Len(u.recent) : u.recent[i].thread = thread}
  IN  IF own = {} THEN older ELSE u.recent[Max(own)].offset
MayFollow(u, thread, at, isInJournal) ==                                      \* ISO-3
  LET there == {i \in 1..Len(u.recent) : u.recent[i].offset = at}
  IN  \/ at = 0
      \/ IF there = {} THEN isInJournal ELSE \A i \in there : u.recent[i].thread = thread

(* Evolve: the state after one more entry.                                 *)
Moved(r, e) ==
  CASE e.kind = "agent_started"   -> Started
    [] e.kind = "agent_thinking"  -> Thinks(r)
    [] e.kind = "tool_executing"  -> Opens(r, e.call, e.what)
    [] e.kind = "tool_completed"  -> Closes(r, e.call)
    [] e.kind = "agent_completed" -> Completes(r)

(* The messages that memory keeps.                                         *)
Latest(s) == IF Len(s) > RecentMax THEN SubSeq(s, Len(s) - RecentMax + 1, Len(s)) ELSE s

Evolve(u, e) ==
  LET head == u.head + 1 IN
  IF e.kind = "user_message"
  THEN [head |-> head,
        runs |-> u.runs @@ (e.run :> [thread |-> e.thread, message |-> e.message, accepted |-> head, run |-> Waiting,
                               steers |-> e.what = "steers"]),
        recent |-> Latest(Append(u.recent, [message |-> e.message, run |-> e.run, offset |-> head,
                                           thread |-> e.thread]))]
  ELSE IF e.kind = "agent_completed"
  THEN [u EXCEPT !.head = head, !.runs = [r \in DOMAIN u.runs \ {e.run} |-> u.runs[r]]]
  ELSE [u EXCEPT !.head = head, !.runs[e.run].run = Moved(@, e)]

RECURSIVE EvolveAll(_, _)
EvolveAll(u, entries) == IF entries = <<>> THEN u ELSE EvolveAll(Evolve(u, Head(entries)), Tail(entries))

-----------------------------------------------------------------------------
(* Ending a run early: start it if it waited, close what is open in order  *)
(* of call ids, complete it.                                               *)

ClosedAs(what) ==
  CASE what = "timed_out"   -> "timed_out"
    [] what = "interrupted" -> "unknown"
    [] OTHER                -> "cancelled"

RECURSIVE CloseEach(_, _, _, _, _)
CloseEach(id, open, calls, seq, status) ==
  IF calls = {} THEN <<>>
  ELSE <<Event(id, open, seq, "tool_completed", Min(calls), status)>>
       \o CloseEach(id, open, calls \ {Min(calls)}, seq + 1, status)

End(u, id, what) ==                                                           \* RUN-7
  LET open   == u.runs[id]
      starts == IF open.run.phase = "waiting" THEN <<StartedEvent(id, open)>> ELSE <<>>
      seq    == open.run.seq + Len(starts)
      closes == CloseEach(id, open, DOMAIN open.run.open, seq + 1, ClosedAs(what))
  IN  starts \o closes \o <<Event(id, open, seq + Len(closes) + 1, "agent_completed", 0, what)>>

StartNext(u, ended) ==                                                        \* RUN-6, RUN-8
  IF ~IsBegun(u, ended) THEN <<>>
  ELSE LET rest == Line(u, u.runs[ended].thread) \ {ended}
       IN  IF rest = {} THEN <<>> ELSE <<StartedEvent(FirstOf(u, rest), u.runs[FirstOf(u, rest)])>>

EndAndGoOn(u, id, what) == End(u, id, what) \o StartNext(u, id)

RECURSIVE EndLine(_, _, _)
EndLine(u, S, what) ==
  IF S = {} THEN <<>> ELSE LET r == FirstOf(u, S) IN End(u, r, what) \o EndLine(u, S \ {r}, what)

-----------------------------------------------------------------------------
(* Decide: the entries that a command adds.  Refused, or nothing to do:    *)
(* none.                                                                   *)

(* A message is accepted, for a run with the id `fresh`, if its thread has *)
(* the parent (`follows`).                                                 *)
Send(u, message, thread, onBusy, parent, follows, fresh, isInJournal) ==
  LET line      == Line(u, thread)
      busy      == line # {}
      interrupt == busy /\ onBusy = "interrupt"
      cancelled == IF interrupt THEN EndLine(u, line, "cancelled") ELSE <<>>
      open      == [thread |-> thread, message |-> message]
      steers    == busy /\ onBusy = "steer"                                    \* RUN-12
      accepted  == <<Message(fresh, thread, message, parent, IF steers THEN "steers" ELSE "")>>
      starts    == IF ~busy \/ interrupt THEN <<StartedEvent(fresh, open)>> ELSE <<>>
  IN  IF Remembered(u, message) # {} \/ isInJournal THEN <<>>                 \* DEL-6
      ELSE IF ~follows THEN <<>>                                              \* ISO-3
      ELSE IF busy /\ onBusy = "reject" THEN <<>>                             \* RUN-8
      ELSE IF ~interrupt /\ Cardinality(line) > QueuedMax THEN <<>>
      ELSE IF ~interrupt /\ Cardinality(DOMAIN u.runs) >= OpenRunsMax THEN <<>>
      ELSE cancelled \o accepted \o starts

(* The active run takes the messages that wait for it: their runs start    *)
(* and end as merged, in order of acceptance.                              *)
RECURSIVE MergeEach(_, _, _)
MergeEach(u, S, into) ==
  IF S = {} THEN <<>>
  ELSE LET r == FirstOf(u, S)
       IN  <<StartedEvent(r, u.runs[r]), [Event(r, u.runs[r], 2, "agent_completed", 0, "merged") EXCEPT !.into = into]>>
           \o MergeEach(u, S \ {r}, into)
TakeWaiting(u, id) ==                                                                \* RUN-12
  IF ~IsBegun(u, id) THEN <<>>
  ELSE MergeEach(u, {r \in Line(u, u.runs[id].thread) : ~IsBegun(u, r) /\ u.runs[r].steers}, id)

(* A run is cancelled, meets its deadline, or cannot be resumed.           *)
Cut(u, id, what) == IF IsOpen(u, id) THEN EndAndGoOn(u, id, what) ELSE <<>>   \* RUN-6

(* One more event of a run; none of a run that is not open.                *)
Adds(u, id, kind, call, what) ==
  IF IsOpen(u, id) THEN <<Event(id, u.runs[id], u.runs[id].run.seq + 1, kind, call, what)>> ELSE <<>>

(* A client answers a question of the run.                                 *)
Answer(u, id, c) ==                                                           \* RUN-11
  IF IsBegun(u, id) /\ CanClose(u.runs[id].run, c, "client") THEN Adds(u, id, "tool_completed", c, "ok") ELSE <<>>

(* The service closes a call that took too long.                           *)
CloseCall(u, id, c) ==
  IF IsBegun(u, id) /\ CanClose(u.runs[id].run, c, "service")
  THEN Adds(u, id, "tool_completed", c, "timed_out") ELSE <<>>

(* An agent's step: legal, over a limit, or illegal (RUN-10).              *)
AgentStep(u, id, legal, over, entries) ==
  IF ~IsBegun(u, id) THEN <<>>
  ELSE IF ~legal THEN EndAndGoOn(u, id, "violation")
  ELSE IF over THEN EndAndGoOn(u, id, "limit_reached")
  ELSE entries

RunOf(u, id) == IF IsBegun(u, id) THEN u.runs[id].run ELSE Waiting
Full(r)      == r.seq >= EventsMax

Think(u, id) ==
  AgentStep(u, id, CanThink(RunOf(u, id)), Full(RunOf(u, id)), Adds(u, id, "agent_thinking", 0, ""))
Open(u, id, c, by) ==
  LET r == RunOf(u, id) IN
  AgentStep(u, id, CanOpen(r, c),
            Full(r) \/ Cardinality(DOMAIN r.open) >= OpenCallsMax \/ Cardinality(r.opened) >= RunCallsMax,
            Adds(u, id, "tool_executing", c, by))
Close(u, id, c) ==
  AgentStep(u, id, CanClose(RunOf(u, id), c, "agent"), FALSE, Adds(u, id, "tool_completed", c, "ok"))
Succeed(u, id) ==
  AgentStep(u, id, CanSucceed(RunOf(u, id)), FALSE, Adds(u, id, "agent_completed", 0, "succeeded") \o StartNext(u, id))
Fail(u, id) ==
  AgentStep(u, id, CanCut(RunOf(u, id)), FALSE, Adds(u, id, "agent_completed", 0, "failed") \o StartNext(u, id))

(* Taken up after a crash: the agent's own open calls close as unknown,    *)
(* but for an idempotent one; the client's stay open (RUN-9, RUN-11).      *)
Resume(u, id, keep) ==
  IF ~IsBegun(u, id) THEN <<>>
  ELSE LET r == u.runs[id].run
           orphans == {c \in DOMAIN r.open : r.open[c] = "agent" /\ c \notin keep}
       IN  CloseEach(id, u.runs[id], orphans, r.seq + 1, "unknown")

(* Resumed as often as is allowed, by processes that died: it ends, and no *)
(* call is kept; what the agent's own came to is not known (RUN-6, RUN-7). *)
Exhaust(u, id) ==
  IF ~IsBegun(u, id) THEN <<>>
  ELSE LET open    == u.runs[id]
           r       == open.run
           ofAgent == {c \in DOMAIN r.open : r.open[c] = "agent"}
           orphans == CloseEach(id, open, ofAgent, r.seq + 1, "unknown")
           closes  == orphans \o CloseEach(id, open, DOMAIN r.open \ ofAgent, r.seq + Len(orphans) + 1, "cancelled")
       IN  closes \o <<Event(id, open, r.seq + Len(closes) + 1, "agent_completed", 0, "resume_limit")>> \o StartNext(u, id)

-----------------------------------------------------------------------------
(* The rules, as predicates over a log, written without the operators      *)
(* above.                                                                  *)

EventsOf(log, id) == SelectSeq(log, LAMBDA e : e.run = id /\ e.kind # "user_message")
RunIds(log)       == {log[i].run : i \in 1..Len(log)}

OpenBefore(w, i) ==
  {c \in Calls : \E j \in 1..(i - 1) :
     /\ w[j].kind = "tool_executing"
     /\ w[j].call = c
     /\ \A k \in (j + 1)..(i - 1) : ~(w[k].kind = "tool_completed" /\ w[k].call = c)}

RUN1(w) == \A i \in 1..Len(w) : (i = 1) = (w[i].kind = "agent_started")
RUN2(w) == \A i \in 1..Len(w) : w[i].seq = i
RUN3(w) == \A i \in 1..Len(w) :
             (w[i].kind = "tool_executing" \/ (w[i].kind = "agent_completed" /\ w[i].what = "succeeded"))
             => \E j \in 1..(i - 1) : w[j].kind = "agent_thinking"
RUN4(w) == \A i \in 1..Len(w) :
             /\ w[i].kind = "tool_completed" => w[i].call \in OpenBefore(w, i)
             /\ w[i].kind = "tool_executing" =>
                  \A j \in 1..(i - 1) : ~(w[j].kind = "tool_executing" /\ w[j].call = w[i].call)
RUN5(w) == \A i \in 1..Len(w) :
             w[i].kind = "agent_completed" => i = Len(w) /\ OpenBefore(w, i) = {}

LegalWord(w) == RUN1(w) /\ RUN2(w) /\ RUN3(w) /\ RUN4(w) /\ RUN5(w)
LegalLog(log) == \A id \in RunIds(log) : LegalWord(EventsOf(log, id))

(* A message follows an earlier one of its thread, or none.                *)
InThread(log, thread, at) ==
  at \in 1..Len(log) /\ log[at].kind = "user_message" /\ log[at].thread = thread
LatestIn(log, thread) ==
  LET own == {i \in 1..Len(log) : InThread(log, thread, i)} IN IF own = {} THEN 0 ELSE Max(own)
IsTree(log) == \A i \in 1..Len(log) :
  log[i].parent = 0 \/ (log[i].parent < i /\ InThread(log, log[i].thread, log[i].parent))

(* A merged run has made no step, its message steers, and the run that     *)
(* took it is the active one of the thread: RUN-12.                        *)
EndsAt(log, i, id)  == log[i].run = id /\ log[i].kind = "agent_completed"
IsActiveAt(log, id, thread, i) ==
  /\ \E j \in 1..(i - 1) : log[j].run = id /\ log[j].kind = "agent_started" /\ log[j].thread = thread
  /\ \A j \in 1..(i - 1) : ~EndsAt(log, j, id)
TakenByActive(log) == \A i \in 1..Len(log) :
  log[i].what = "merged" =>
    /\ log[i - 1].run = log[i].run /\ log[i - 1].kind = "agent_started"
    /\ log[i].into # log[i].run /\ IsActiveAt(log, log[i].into, log[i].thread, i)
    /\ \E j \in 1..i : log[j].run = log[i].run /\ log[j].what = "steers"

IsOver(log, id) == \E i \in 1..Len(log) : log[i].run = id /\ log[i].kind = "agent_completed"
=============================================================================
