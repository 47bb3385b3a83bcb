#!/usr/bin/env bash
# Sends a message with curl and prints the entries of its run as they happen, up to its end.
#
#   examples/chat.sh TEXT [ADDRESS]     with `quintet dev` running on ADDRESS (http://127.0.0.1:8080)
set -euo pipefail

text=${1:?usage: examples/chat.sh TEXT [ADDRESS]}
address=${2:-http://127.0.0.1:8080}
# Bodies are made and answers read by sed alone; a program of yours has a JSON library.
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"; }
escaped=$(printf %s "$text" | sed 's/[\\"]/\\&/g')

token=$(curl -sS --fail-with-body --json '{"user_id":"ann"}' "$address/dev/login" | field token)
authorization="Authorization: Bearer $token"
# Repeating the request is safe: the message_id stands for one message and one run.
accepted=$(curl -sS --fail-with-body --retry 5 --retry-connrefused -H "$authorization" \
  --json "{\"message_id\":\"$(date +%s%N)\",\"thread_id\":\"curl\",\"text\":\"$escaped\"}" "$address/v1/messages")
run=$(field run_id <<<"$accepted")
after=$(($(field message_offset <<<"$accepted") - 1))

# The log as server-sent events, from the message on. The stream goes on for ever.
exec 3< <(exec curl -sSN -H "$authorization" "$address/v1/stream?after=$after")
stream=$!
trap 'kill "$stream"' EXIT
while read -r line; do
  [[ $line == data:*"\"run_id\":\"$run\""* ]] || continue
  printf '%s\n' "${line#data: }"
  [[ $line != *'"type":"agent_completed"'* ]] || break
done <&3
