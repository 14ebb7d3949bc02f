#!/usr/bin/env bash
# nbsgd topology: what it prints can be read again, wrong words are answered, figures are images.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

edges() { grep -v '^#' "$1"; }
same() { diff <(edges "$1") <(edges "$2"); }

count=0
while read -ra words; do
    run "$nbsgd" topology "${words[@]}"
    check "${words[*]}" ends 0 "^# topology ${words[0]}: ${words[1]} nodes" '^# diameter [0-9]'
    echo "$out" >first
    run "$nbsgd" topology file "${words[1]}" --topology-file first
    echo "$out" >second
    check "${words[*]}: what it prints, --topology-file reads" same first second
    count=$((count + 1))
done <<'END'
ring 8
torus 12
aer 16 --local-ranks 4
one-peer-exponential 8
erdos-renyi 12 --edge-probability 0.3 --seed 5
disk 20 --fiedler 0.7
star 6 --mixing max-degree
directed-one-peer-exponential 6
END
check 'all of them' [ $count = 8 ]

run "$nbsgd" topology matcha 8 --steps 3
check 'drawn steps, as many as asked for' [ "$(grep -c '^step$' <<<"$out")" = 2 ]
run "$nbsgd" topology ring 5000
check 'a great one: edges alone' ends 0 'not computed for more than 4096'
check 'all of its edges' [ "$(grep -c '^[0-9]' <<<"$out")" = 5000 ]

refused() { # TEXT WORD ...
    local text=$1
    shift
    run "$nbsgd" topology "$@"
    check "refused: $*" ends 2 "$text"
}
refused 'which one, and of how many ranks' ring
refused "'x' ranks; take a whole number" ring x
refused "'0' ranks" ring 0
refused "did you mean 'torus'" tours 9
refused 'power of two: 4 or 8, not 6' hypercube 6
refused '--fiedler' ring 8 --fiedler 2
refused 'no graph of 10 nodes has more than 10' disk 10 --fiedler 11
refused '--mixing has no effect on directed-ring' directed-ring 4 --mixing uniform
refused 'no options of its own; not with disk' matcha 8 --matcha-graph disk
refused 'changes each step' matcha 8 --matcha-graph hypercube
refused 'cannot read nowhere' file 3 --topology-file nowhere
refused 'none is connected' erdos-renyi 30 --edge-probability 0.001 --graph-attempts 3
refused 'ends in .svg or .png' ring 4 --figure x.txt

if command -v gnuplot >/dev/null; then
    export NBSGD_DATADIR=$home
    run "$nbsgd" topology aer 16 --local-ranks 4 --figure "a b'; touch T.svg"
    check 'a figure: SVG' grep -q '</svg>' "a b'; touch T.svg"
    run "$nbsgd" topology directed-ring 5 --figure ring.png
    check 'a figure: PNG' [ "$(head -c 4 ring.png | tail -c 3)" = PNG ]
else
    passes_over 'no gnuplot'
fi
finish
