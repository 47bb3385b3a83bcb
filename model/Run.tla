-------------------------------- MODULE Run --------------------------------
(***************************************************************************)
(* One run: every step, by every closer, in every state.  The same machine *)
(* as src/kernel/run; model/src/models/run.rs explores that one, and a     *)
(* test finds the two graphs equal, state for state and edge for edge.     *)
(***************************************************************************)
EXTENDS Kernel

VARIABLES run,   \* the machine
          word   \* what it has emitted: <<kind, call, what>>
vars == <<run, word>>

Emit(kind, call, what) == word' = Append(word, [kind |-> kind, call |-> call, what |-> what])
Room == Len(word) < EventsMax

(* The agent thinks.                                                       *)
DoThink == Room /\ CanThink(run) /\ run' = Thinks(run) /\ Emit("agent_thinking", 0, "")
(* The agent opens a call, for itself or for a client.                     *)
DoOpen  == \E c \in Calls, by \in By :
             Room /\ CanOpen(run, c) /\ run' = Opens(run, c, by) /\ Emit("tool_executing", c, by)
(* A call is closed: by the agent, by a client, by the service.            *)
AgentCloses == \E c \in Calls :
             CanClose(run, c, "agent") /\ run' = Closes(run, c) /\ Emit("tool_completed", c, "ok")
ClientCloses == \E c \in Calls :                             \* RUN-11
             CanClose(run, c, "client") /\ run' = Closes(run, c) /\ Emit("tool_completed", c, "ok")
ServiceCloses == \E c \in Calls :                            \* RUN-7
             CanClose(run, c, "service") /\ run' = Closes(run, c) /\ Emit("tool_completed", c, "ok")
(* The agent completes its run.                                            *)
DoSucceed == CanSucceed(run) /\ run' = Completes(run) /\ Emit("agent_completed", 0, "succeeded")
(* The run fails, is cancelled, meets its deadline, or is not resumed.     *)
DoCut   == \E what \in {"failed", "cancelled", "timed_out", "interrupted"} :
             CanCut(run) /\ run' = Completes(run) /\ Emit("agent_completed", 0, what)
(* Another run takes the message: RUN-12.                                  *)
DoMerge == CanMerge(run) /\ run' = Completes(run) /\ Emit("agent_completed", 0, "merged")

Init == run = Started /\ word = <<[kind |-> "agent_started", call |-> 0, what |-> ""]>>
Next == \/ DoThink \/ DoOpen \/ DoSucceed \/ DoCut \/ DoMerge
        \/ AgentCloses \/ ClientCloses \/ ServiceCloses

Spec     == Init /\ [][Next]_vars
(* An agent may hang; whoever closes calls and cuts runs may not: RUN-6.   *)
FairSpec == Spec /\ WF_vars(ServiceCloses) /\ WF_vars(DoCut)

-----------------------------------------------------------------------------
Numbered == [i \in 1..Len(word) |-> [run |-> 1, seq |-> i, kind |-> word[i].kind, call |-> word[i].call, what |-> word[i].what,
                                       thread |-> 1, message |-> 0, parent |-> 0, into |-> 0]]
TypeOK   == IsRun(run) /\ IsLog(Numbered)
Legal    == LegalWord(Numbered)                          \* RUN-1 RUN-3 RUN-4 RUN-5
Counts   == run.seq = Len(word)                          \* RUN-2
PhaseFits == /\ (run.phase = "executing") = (DOMAIN run.open # {})
             /\ (run.phase = "completed") = (word[Len(word)].kind = "agent_completed")
             /\ DOMAIN run.open \subseteq run.opened
Unmerged == word[Len(word)].what = "merged" => Len(word) = 2          \* RUN-12
Ends     == <>(run.phase = "completed")                  \* RUN-6

THEOREM Spec => [](TypeOK /\ Legal /\ Counts /\ PhaseFits /\ Unmerged)
THEOREM FairSpec => Ends
=============================================================================
