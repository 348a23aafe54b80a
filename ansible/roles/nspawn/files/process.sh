#!/bin/bash
# What machine.sh and tests/machines/kernel.sh know machines by: name, its folder dir, and BRIDGE.

# A process is known by its number and the time of its start.
born() { local s; s=$(cat "/proc/$1/stat" 2>/dev/null) || return 1; s=${s##*) }; read -ra s <<<"$s"; echo "${s[19]}"; }
alive() {
  local pid time
  read -r pid time 2>/dev/null <"$dir/pid" || return 1
  [ "$(born "$pid")" = "$time" ] || return 1
  echo "$pid"
}

# short is a name for interfaces, which have 15 characters at most.
short() { printf 'al-%s' "$(printf '%s' "$BRIDGE/$name" | sha256sum | head -c 10)"; }
