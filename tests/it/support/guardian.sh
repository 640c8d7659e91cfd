#!/bin/sh
# Holds one RabbitMQ node for one test process, and ends it with that process, however it ends.
#
# The orders come as lines on standard input and each is answered with one line. The other end of that pipe
# is held by the test process alone, so its end means that the test process is gone, even by SIGKILL: then the
# node and its epmd are killed by their own process ids and DIRECTORY is removed.
#
# Environment: SERVER (the rabbitmq-server script), DIRECTORY, ERL_EPMD_PORT, and what the script itself reads.

epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" </dev/null >"$DIRECTORY/epmd.log" 2>&1 &
epmd=$!
vm=

end_vm() {
    [ -n "$vm" ] || return 0
    kill -KILL "$vm" 2>/dev/null
    wait "$vm" 2>/dev/null
    vm=
}

while read -r order; do
    case $order in
    start)
        end_vm
        # The script becomes the VM by exec, so this is the VM's process id (see RABBITMQ_ALLOW_INPUT).
        "$SERVER" </dev/null >>"$DIRECTORY/console.log" 2>&1 &
        vm=$!
        echo "$vm"
        ;;
    kill)
        end_vm
        echo ok
        ;;
    *) # the name of a signal
        [ -n "$vm" ] && kill -s "$order" "$vm" 2>/dev/null
        echo ok
        ;;
    esac
done

end_vm
kill -KILL "$epmd" 2>/dev/null
wait "$epmd" 2>/dev/null
rm -rf "$DIRECTORY"
