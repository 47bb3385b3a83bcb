------------------------------ MODULE Delivery ------------------------------
(***************************************************************************)
(* From the hub to the clients: a hub that decides and appends, the        *)
(* durable log, connections that read it, lossy links, clients that keep a *)
(* cursor.  The log is the only queue: a connection asks for what follows  *)
(* its cursor, and asks on when the socket has taken it.                   *)
(* model/src/models/delivery.rs puts the shipped user machine and the      *)
(* shipped connection machine into the same environment; a test finds the  *)
(* two graphs equal.  Run 1 of message 1 is all that the log tells of.     *)
(***************************************************************************)
EXTENDS Kernel

CONSTANTS Clients, Senders,  \* numbers from 1; senders are the first of the clients
          SocketFrames,      \* frames that a socket takes before it pushes back
          WireMax,           \* frames that are ever on the way to one client (DEL-4)
          Forever,           \* beyond every offset: what a reader owes that has caught up
          Drains, Trims,     \* whether the service drains, and whether retention trims
          ReadsSingly,       \* whether entries are also read one at a time
          HeadStarts         \* whether a client without a cursor may start at the head

ASSUME Clients \subseteq Nat /\ Senders \subseteq Clients
ASSUME {SocketFrames, WireMax, Forever} \subseteq Nat /\ SocketFrames <= WireMax
ASSUME {Drains, Trims, ReadsSingly, HeadStarts} \subseteq BOOLEAN

VARIABLES log,      \* durable
          trimmed,  \* entries up to here are no longer kept
          hub,      \* the machine, what it has decided, and the client it will answer
          drain,    \* whether the service is about to go
          link,     \* one connection to each client, or none
          client    \* what each client has, and whether it was answered "accepted"
vars == <<log, trimmed, hub, drain, link, client>>

Down    == [is |-> "down", user |-> NoUser, batch |-> <<>>, promise |-> 0]
NoLink  == [phase |-> "none", sent |-> 0, owes |-> 0, fetching |-> FALSE, flushing |-> FALSE,
            replies |-> 0, message |-> "unsent", leaving |-> 0, wire |-> <<>>]
Frame(kind, from, to) == [kind |-> kind, from |-> from, to |-> to]

IsUp(c) == link[c].phase # "none"
Idle    == hub.is = "up" /\ hub.batch = <<>>
OpenRun == hub.is = "up" /\ (DOMAIN hub.user.runs # {} \/ hub.batch # <<>>)

(* What a connection sends: into the wire, and flushed if no flush runs.   *)
Flush(l)       == IF l.flushing THEN l ELSE [l EXCEPT !.flushing = TRUE, !.replies = 0]
Sends(l, f)    == Flush([l EXCEPT !.wire = Append(@, f)])
Replies(l, f)  == LET m == Sends(l, f) IN [m EXCEPT !.replies = @ + 1]
CatchesUp(l)   == [Sends(l, Frame("caught_up", l.owes, l.owes)) EXCEPT !.owes = Forever]
Delivers(l, last) ==                                                         \* DEL-2
  Sends([l EXCEPT !.sent = last, !.fetching = FALSE], Frame("entries", l.sent + 1, last))
(* A connection that closes is gone, and is answered no more.              *)
Forgotten(h, c) == IF h.promise = c THEN [h EXCEPT !.promise = 0] ELSE h

-----------------------------------------------------------------------------
(* The hub.  It starts with the fold of the log.                           *)
Restart == /\ hub.is = "down"
           /\ hub' = [Down EXCEPT !.is = "up", !.user = EvolveAll(NoUser, log)]
           /\ UNCHANGED <<log, trimmed, drain, link, client>>

Decides(entries, promise) ==
  hub' = [hub EXCEPT !.user = EvolveAll(@, entries), !.batch = entries, !.promise = promise]

(* The agent makes a step; a run that makes none meets its deadline.       *)
Step(entries) == /\ entries # <<>>
                 /\ Decides(entries, 0)
                 /\ UNCHANGED <<log, trimmed, drain, link, client>>
DoThink   == Idle /\ Step(Think(hub.user, 1))
DoSucceed == Idle /\ Step(Succeed(hub.user, 1))
Deadline  == Idle /\ Step(Cut(hub.user, 1, "timed_out"))

Answered(l) == Replies([l EXCEPT !.message = "answered"], Frame("accepted", 0, 0))

(* The hub takes a client's message: decides it, or answers as before.     *)
Take == \E c \in Clients :
  /\ Idle /\ link[c].message = "sent"
  /\ drain = "no" \/ log # <<>>
  /\ LET entries == Send(hub.user, 1, 1, "enqueue", 0, TRUE, 1, log # <<>>) IN
     IF entries = <<>>
     THEN link' = [link EXCEPT ![c] = Answered(@)] /\ UNCHANGED hub          \* DEL-6
     ELSE Decides(entries, c) /\ UNCHANGED link
  /\ UNCHANGED <<log, trimmed, drain, client>>

(* The append succeeds; entries are published and answers sent after it.   *)
Write ==                                                                     \* DEL-1, DEL-5
  /\ hub.batch # <<>>
  /\ log' = log \o hub.batch
  /\ hub' = [hub EXCEPT !.batch = <<>>, !.promise = 0]
  /\ link' = IF hub.promise = 0 THEN link ELSE [link EXCEPT ![hub.promise] = Answered(@)]
  /\ UNCHANGED <<trimmed, drain, client>>

(* The append fails, and the hub reads the log again.                      *)
WriteFails == /\ hub.batch # <<>>
              /\ hub' = [Down EXCEPT !.is = "up", !.user = EvolveAll(NoUser, log)]
              /\ UNCHANGED <<log, trimmed, drain, link, client>>

(* The service crashes, with every connection.                             *)
Crash == /\ hub.is = "up"
         /\ hub' = Down /\ drain' = "no" /\ link' = [c \in Clients |-> NoLink]
         /\ UNCHANGED <<log, trimmed, client>>

(* Retention drops all entries of the runs that are over.                  *)
Trim == /\ Trims /\ hub.is = "up" /\ ~OpenRun /\ log # <<>>
        /\ trimmed # Len(log) /\ trimmed' = Len(log)
        /\ UNCHANGED <<log, hub, drain, link, client>>

-----------------------------------------------------------------------------
(* Connections.  A client resumes after its cursor, or is told of a gap.   *)
Connect(c) ==
  /\ hub.is = "up" /\ ~IsUp(c) /\ drain = "no"
  /\ LET after   == client[c].after
         head    == Len(log)
         resumed == IF after < trimmed THEN trimmed ELSE after               \* DEL-3
         ready   == IF after < trimmed THEN Frame("gap", after + 1, trimmed) ELSE Frame("ready", after, after)
         opened  == Sends([NoLink EXCEPT !.sent = resumed, !.owes = head, !.fetching = TRUE], ready)
     IN  link' = [link EXCEPT ![c] =
                    IF resumed < head THEN [opened EXCEPT !.phase = "replaying"]
                    ELSE [CatchesUp(opened) EXCEPT !.phase = "live"]]
  /\ UNCHANGED <<log, trimmed, hub, drain, client>>

(* A client without a cursor starts at the head.  The head is looked up    *)
(* first; the entries that are appended before `ready` follow it.          *)
LookUpHead(c) ==
  /\ HeadStarts /\ hub.is = "up" /\ ~IsUp(c) /\ drain = "no" /\ client[c].after = 0
  /\ link' = [link EXCEPT ![c] = [NoLink EXCEPT !.phase = "attaching", !.sent = Len(log), !.owes = Forever]]
  /\ UNCHANGED <<log, trimmed, hub, drain, client>>
ReadyAtHead(c) ==
  /\ link[c].phase = "attaching"
  /\ LET head   == link[c].sent
         opened == Sends([link[c] EXCEPT !.owes = head, !.fetching = TRUE], Frame("head", head, head))
     IN  link' = [link EXCEPT ![c] = [CatchesUp(opened) EXCEPT !.phase = "live"]]   \* DEL-2, DEL-3
  /\ UNCHANGED <<log, trimmed, hub, drain, client>>

(* A client sends its message, once on each connection.                    *)
Ask == \E c \in Senders :
  /\ IsUp(c) /\ link[c].phase # "attaching" /\ link[c].message = "unsent" /\ ~client[c].accepted
  /\ link' = [link EXCEPT ![c].message = "sent"]
  /\ UNCHANGED <<log, trimmed, hub, drain, client>>

HangUp(c) == link' = [link EXCEPT ![c] = NoLink] /\ hub' = Forgotten(hub, c)

Reading(c, last) ==
  LET l == link[c]
      d == Delivers(l, last)
  IN  IF l.phase = "leaving" /\ last >= l.leaving THEN HangUp(c)            \* CONN-6
      ELSE /\ UNCHANGED hub
           /\ link' = [link EXCEPT ![c] =
                IF l.owes # last THEN d
                ELSE IF l.phase = "replaying" THEN [CatchesUp(d) EXCEPT !.phase = "live"]
                ELSE CatchesUp(d)]

Least(a, b) == IF a < b THEN a ELSE b

(* The connection reads on from the log.                                   *)
Read(c) ==
  /\ IsUp(c) /\ link[c].fetching
  /\ IF trimmed > link[c].sent THEN HangUp(c)                               \* DEL-3: outrun
     ELSE \E last \in {link[c].sent + 1, Least(Len(log), link[c].owes)} :
            /\ link[c].sent < last /\ last <= Len(log)                        \* DEL-1
            /\ ReadsSingly \/ last = Least(Len(log), link[c].owes)
            /\ Reading(c, last)
  /\ UNCHANGED <<log, trimmed, drain, client>>

(* The socket has taken what was sent, and the connection asks for more.   *)
Flushed(c) ==                                                                \* DEL-4
  /\ link[c].flushing /\ Len(link[c].wire) < SocketFrames
  /\ link' = [link EXCEPT ![c].flushing = FALSE, ![c].replies = 0, ![c].fetching = TRUE]
  /\ UNCHANGED <<log, trimmed, hub, drain, client>>

(* A client receives the next frame.                                       *)
Receive(c) ==
  /\ link[c].wire # <<>>
  /\ LET f == Head(link[c].wire) IN
     client' = [client EXCEPT
       ![c].after = IF f.kind \in {"ready", "gap", "head", "entries"} THEN f.to ELSE @,
       ![c].accepted = IF f.kind = "accepted" THEN TRUE ELSE @]
  /\ link' = [link EXCEPT ![c].wire = Tail(@)]
  /\ UNCHANGED <<log, trimmed, hub, drain>>

(* A link drops, with all that is on it.                                   *)
Drop(c) == IsUp(c) /\ HangUp(c) /\ UNCHANGED <<log, trimmed, drain, client>>

-----------------------------------------------------------------------------
(* A drain (CONN-6): clients are warned at once; connections close when    *)
(* every run is over and the reader has everything, or its time is over.   *)
DrainBegins ==
  /\ Drains /\ hub.is = "up" /\ drain = "no"
  /\ drain' = "draining"
  /\ link' = [c \in Clients |->
       IF ~IsUp(c) \/ link[c].phase = "attaching" THEN NoLink
       ELSE [Sends(link[c], Frame("draining", 0, 0)) EXCEPT !.phase = "draining"]]
  /\ UNCHANGED <<log, trimmed, hub, client>>

(* Every run is over: connections that have everything close.              *)
DrainEnds ==
  /\ drain = "draining" /\ ~OpenRun
  /\ drain' = "drained"
  /\ LET stays(c) == IsUp(c) /\ link[c].owes = Forever /\ Len(log) > link[c].sent IN
     /\ link' = [c \in Clients |->
          IF stays(c) THEN [link[c] EXCEPT !.phase = "leaving", !.leaving = Len(log)] ELSE NoLink]
     /\ hub' = IF hub.promise # 0 /\ ~stays(hub.promise) THEN [hub EXCEPT !.promise = 0] ELSE hub
  /\ UNCHANGED <<log, trimmed, client>>

(* A reader's time is over.                                                *)
Leave(c) ==
  /\ link[c].phase = "leaving" /\ HangUp(c)
  /\ UNCHANGED <<log, trimmed, drain, client>>

-----------------------------------------------------------------------------
Init == /\ log = <<>> /\ trimmed = 0 /\ hub = Down /\ drain = "no"
        /\ link = [c \in Clients |-> NoLink]
        /\ client = [c \in Clients |-> [after |-> 0, accepted |-> FALSE]]
Next == \/ Restart \/ DoThink \/ DoSucceed \/ Deadline \/ Take \/ Write \/ WriteFails \/ Crash \/ Trim
        \/ Ask \/ DrainBegins \/ DrainEnds
        \/ \E c \in Clients : LookUpHead(c) \/ ReadyAtHead(c)
        \/ \E c \in Clients : Connect(c) \/ Read(c) \/ Flushed(c) \/ Receive(c) \/ Drop(c) \/ Leave(c)

Spec     == Init /\ [][Next]_vars
(* Links drop and hubs crash again and again.  Only strong fairness lets a *)
(* reader get through: what is possible again and again comes about in the *)
(* end, however much is on the wire.  Nothing is asked of any client but   *)
(* the first: a reader that stands still holds nobody up (DEL-4).          *)
ReceiveAt(c, n)  == Len(link[c].wire) = n /\ Receive(c)
ReceiveEntries(c) == link[c].wire # <<>> /\ Head(link[c].wire).kind = "entries" /\ Receive(c)
ReadAfresh(c)    == link[c].wire = <<>> /\ Read(c)

FairSpec == /\ Spec
            /\ SF_vars(Restart) /\ SF_vars(Deadline) /\ SF_vars(Write) /\ SF_vars(DrainEnds)
            /\ \A c \in Clients : SF_vars(Leave(c))
            /\ SF_vars(Connect(1)) /\ SF_vars(ReadyAtHead(1)) /\ SF_vars(Flushed(1))
            /\ SF_vars(ReadAfresh(1)) /\ SF_vars(ReceiveEntries(1))
            /\ \A n \in 1..WireMax : SF_vars(ReceiveAt(1, n))
WeakSpec == /\ Spec
            /\ WF_vars(Restart) /\ WF_vars(Deadline) /\ WF_vars(Write) /\ WF_vars(DrainEnds)
            /\ \A c \in Clients : WF_vars(Leave(c))
            /\ WF_vars(Connect(1)) /\ WF_vars(ReadyAtHead(1)) /\ WF_vars(Flushed(1))
            /\ WF_vars(Read(1)) /\ WF_vars(Receive(1))

(* A drain needs the service alone: of no client is anything asked (CONN-6). *)
DrainSpec     == /\ Spec
                 /\ SF_vars(Deadline) /\ SF_vars(Write) /\ SF_vars(DrainEnds)
                 /\ \A c \in Clients : SF_vars(Leave(c))
DrainWeakSpec == /\ Spec
                 /\ WF_vars(Deadline) /\ WF_vars(Write) /\ WF_vars(DrainEnds)
                 /\ \A c \in Clients : WF_vars(Leave(c))

-----------------------------------------------------------------------------
TypeOK   == /\ IsLog(log) /\ trimmed \in 0..Len(log) /\ Len(log) < Forever
            /\ hub.is \in {"down", "up"} /\ IsUser(hub.user) /\ IsLog(hub.batch) /\ hub.promise \in Clients \cup {0}
            /\ drain \in {"no", "draining", "drained"}
            /\ \A c \in Clients : /\ link[c].phase \in {"none", "attaching", "replaying", "live", "draining", "leaving"}
                                  /\ link[c].message \in {"unsent", "sent", "answered"}
                                  /\ link[c].owes \in (0..Len(log)) \cup {Forever}
                                  /\ client[c].after \in 0..Len(log) /\ client[c].accepted \in BOOLEAN
Legal    == LegalLog(log)                                                    \* RUN-1 RUN-2 RUN-3 RUN-4 RUN-5
Durable  == \A c \in Clients : link[c].sent <= Len(log) /\ client[c].after <= Len(log)   \* DEL-1
(* What is on the wire follows what the client has, without hole or repeat. *)
RECURSIVE Follows(_, _)
Follows(after, wire) ==                                                      \* DEL-2, DEL-3
  IF wire = <<>> THEN TRUE
  ELSE LET f == Head(wire) IN
       CASE f.kind = "ready"     -> f.to = after /\ Follows(after, Tail(wire))
         [] f.kind = "head"      -> after = 0 /\ Follows(f.to, Tail(wire))
         [] f.kind = "gap"       -> f.from = after + 1 /\ Follows(f.to, Tail(wire))
         [] f.kind = "entries"   -> f.from = after + 1 /\ f.to >= f.from /\ Follows(f.to, Tail(wire))
         [] f.kind = "caught_up" -> f.to = after /\ Follows(after, Tail(wire))
         [] OTHER                -> Follows(after, Tail(wire))
InOrder  == \A c \in Clients : Follows(client[c].after, link[c].wire)        \* DEL-2, DEL-3
Bounded  == \A c \in Clients : Len(link[c].wire) <= WireMax                  \* DEL-4
Promised == \A c \in Clients :                                               \* DEL-5
  (client[c].accepted \/ \E i \in 1..Len(link[c].wire) : link[c].wire[i].kind = "accepted") => log # <<>>
OneMessage == \A i, j \in 1..Len(log) :                                      \* DEL-6
  log[i].kind = "user_message" /\ log[j].kind = "user_message" => i = j

IsComplete == log # <<>> /\ IsOver(log, 1)
CatchUp  == IsComplete ~> (client[1].after = Len(log))                       \* DEL-3: an open cursor catches up
DrainDone == (drain = "draining") ~> (\A c \in Clients : ~IsUp(c))            \* CONN-6

Log == INSTANCE EventLog WITH
         log <- Ids(log), acked <- IF \E c \in Clients : client[c].accepted THEN {<<1, 0>>} ELSE {},
         cursor <- [c \in Clients |-> client[c].after], Readers <- Clients, Entries <- {1} \X Numbers
Refines == Log!Init /\ [][Log!Next]_(Log!vars)                                  \* DEL-1, DEL-2, DEL-3, DEL-5, DEL-6

THEOREM Spec => [](TypeOK /\ Legal /\ Durable /\ InOrder /\ Bounded /\ Promised /\ OneMessage)
THEOREM Spec => Refines
THEOREM FairSpec => CatchUp
THEOREM DrainSpec => DrainDone
=============================================================================
