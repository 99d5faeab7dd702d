#!/bin/sh
# Which of the caller's variables arrive: NAMES lists them.
for name in $NAMES; do
    eval "value=\${$name-unset}"
    if [ "$value" = unset ]; then
        echo "$name refused: ENOENT"
    else
        echo "$name got: $value"
    fi
done
echo end
