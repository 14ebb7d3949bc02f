#!/usr/bin/env bash
# What bench/run makes of its turns: ratios within a turn, the floor, what was to be reached; and
# that its programs in Python read their words.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

row='resnet50 cifar 32 1 bf16'
turn() { # TURN WHO FIGURE ...
    local figure
    for figure in "${@:3}"; do echo "$row,1,$1,$2,$figure"; done >>turns.csv
}
echo 'row,start,turn,who,figure' >turns.csv
turn 1 ours 30 20 40
turn 1 pytorch 15
turn 1 compiled 20
turn 1 peak 1000 # GFLOP/s: 100 images/s of 1e10 needed
turn 1 memory 16 # GB/s: 200 images/s of 8e7 bytes
turn 2 ours 20
turn 2 pytorch 5
turn 2 compiled 8
turn 2 peak 2000 # 200
turn 2 memory 4  # 50
turn 3 ours 20
turn 3 pytorch 10
turn 3 compiled 10
turn 3 peak 500 # 50
turn 3 memory 8 # 100
conclude() { # TURNS WANT_PLAIN WANT_FLOOR
    rm -f steps.csv
    run awk -F, -v row="$row" -v csv=steps.csv -v backend=b -v flops=2e10 -v needed=1e10 \
        -v moved=8e7 -v traffic="${traffic-9.6e7}" -v rss=7 -v want_plain="$2" \
        -v want_tuned=1.2 -v want_share=- \
        -v want_floor="$3" -f "$home/bench/statistics.awk" -f "$home/bench/steps.awk" "$1"
    out+=$'\n'$(cat steps.csv)
}
conclude turns.csv 2 41
# ratios 2, 4, 2; 1.5, 2.5, 2; of the floors 100, 50, 50: 30, 40, 40 %; of the peak 60, 20, 80 %
check 'a row with a floor' ends 0 '\| 2\.00 \(2\.00\.\.4\.00\) >=2 yes' '\| - +\|' \
    'compiled: 2\.00 \(1\.50\.\.2\.50\)' \
    'floor: 1000 GFLOP/s, 8 GB/s: 50 images/s by arithmetic; of it, %: 40 \(30\.\.40\) >=41 NO' \
    'a step moves 3072 MB, at least 2560$' # of 32 images
line="${row// /,},b,20,20,40,10,5,15,,,,2,2,4,2,yes,,,,1.2,-,1000,60,20,80,-,-,30,7,"
line+='10,8,20,2,1.5,2.5,8,50,arithmetic,40,30,40,41,NO,3072,2560'
check 'and its line' ends 0 "^$line\$"
columns=$(head=x bash -c '. "$0"; write_columns' "$home/bench/parts/steps.sh" | tail -n 1)
commas() { tr -cd , <<<"$1" | wc -c; }
check 'as many columns as names' [ "$(commas "$columns")" = "$(commas "$(cat steps.csv)")" ]
grep -v memory turns.csv >without.csv
conclude without.csv 2.1 -
check 'without the memory no floor, and what is to be reached is not' ends 0 '>=2\.1 NO' \
    ',-,-,3072,2560$'
check 'no floor is said' [ "$(grep -c 'floor:' <<<"$out")" = 0 ]
traffic=0 conclude turns.csv 2 41
check 'a backend that does not count its bytes' ends 0 ',NO,,2560$'
check 'says nothing of them' [ "$(grep -c 'moves' <<<"$out")" = 0 ]
check 'as many columns as ever' [ "$(commas "$columns")" = "$(commas "$(cat steps.csv)")" ]

# How a program is asked: figures of a turn, one that ends, one that never is ready.
# shellcheck source=bench/turns.bash
. "$home/bench/turns.bash"
declare -A pid=()
trap "" PIPE # as in bench/run
tmp=$folder out=$folder row=r a_start=1 a_turn=2
: >turns.csv
start doubler bash -c 'echo ready kind=toy
while read -r n && [ "$n" != end ]; do echo $n$n 7; done'
check 'a program is ready' [ "$(fact doubler kind)" = toy ]
ask doubler 3
check 'its figures' [ "$(paste -sd' ' turns.csv)" = 'r,1,2,doubler,33 r,1,2,doubler,7' ]
stop doubler
check 'it ends when told' [ ${#pid[@]} = 0 ]
begin=$SECONDS
ready_s=0.2 start late sleep 60
check 'one that is not ready in time is ended' [ $? = 1 -a $((SECONDS - begin)) -lt 30 ]
check 'and it is said' [ "$(last_words late.err)" = 'not ready after 0.2 s' ]
start dead bash -c 'printf "at first\nbecause\n \n\n" >&2'
check 'one that ends has said why' [ "$(last_words dead.err)" = because ]
printf '  raise it\ntorch.exc.SomeError: no compiler\n\nSet THIS for more\n\n' >dead.err
check 'an error of Python before advice' [ "$(last_words dead.err)" = \
    'torch.exc.SomeError: no compiler' ]

# train_one() and what the table says of it, from rows that are there
# shellcheck source=bench/parts/workers.sh
. "$home/bench/parts/workers.sh"
cat >workers.csv <<'END_OF_ROWS'
# a head
dtype,minibatches,turn,name,images_per_s,seconds
bf16,8,1,alone,200,
bf16,8,1,ssgd,150,
bf16,8,2,alone,100,
bf16,8,2,ssgd,90,
bf16,8,3,alone,400,
bf16,8,3,ssgd,320,
bf16,1,3,ssgd,1,
f32,8,1,ddp,5,
END_OF_ROWS
key=bf16,8
calc() { awk "BEGIN { printf \"$1\", $2 }"; }
cd "$home" || exit 1 # where bench/run is
check 'a median of this row alone' [ "$(middle ssgd 5)" = 150 ]
check 'what an exchange takes, turn by turn' [ "$(lost ssgd alone)" = 20.0 ]
check 'nothing of what is not there' [ -z "$(middle ddp 5)$(middle ssgd 5 ddp)" ]
cd "$folder" || exit 1

for program in pytorch.py pytorch_ddp.py; do
    run python3 "$home/bench/$program" --check --turns --dtype bf16 --batch 3
    check "$program reads its words" ends 0
    run python3 "$home/bench/$program" --check --dtype f8
    check "$program: and refuses others" ends 2 'invalid choice'
done
finish
