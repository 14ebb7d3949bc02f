#!/usr/bin/env bash
# `nbsgd report` of a study whose curves are known, and of a run: the numbers against a program of
# their own, the page in a strict parser and a browser, what it refuses.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
python=${PYTHON:-python3}

fixture() { awk -v dir="$1" -f "$home/tests/report_fixture.awk"; }
holds() { grep -qE -- "$1" "$2"; }
lacks() { ! holds "$@"; }

fixture study
awk 'BEGIN {
    print "# judged by: 0.1\ncase,setting,trial,seed,lr,status,best_top1,\"a, \"\"b\"\"\""
    for (i = 1; i <= 6; i++) print "slow,\"asgd\"," i ",101," 2^i / 100 ",done," \
        70 - (i - 3)^2 ",\"--x \"\"y, z\"\"\""
    print "slow,ssgd,1,101,0.9,diverged,,\nslow,ssgd,2,101,0.1,missing,,"
}' >study/trials.csv
export NBSGD_DATADIR=$home
if command -v gnuplot >/dev/null; then
    run "$nbsgd" report study
    check 'a study is reported' ends 0 '35 of 36 runs have ended' '4 workers; seeds 1 to 6$'
    for name in tta accuracy-even accuracy-slow profile time updates-slow throughput \
        sensitivity; do
        check "$name: SVG" holds '</svg>' study/figures/$name.svg
        check "$name: PNG" [ "$(head -c 4 study/figures/$name.png | tail -c 3)" = PNG ]
        # what it ran on, as gnuplot writes it into an SVG
        check "$name says what it ran on" holds 'lenet5; simulated network .*seeds 1 to 6' \
            study/figures/$name.svg
    done
    fixture bad
    printf 'case,setting,lr\nslow,"asgd,0.1\n' >bad/trials.csv
    run timeout 60 "$nbsgd" report bad
    check 'bad trials cost their figure alone' ends 0 \
        'no figure of sensitivity: bad/trials.csv:2: not 3 fields' 'bad/report.html'
    check 'a trial that diverged is at 0, one that is missing nowhere' \
        [ "$(grep -cE '^(0.9,0|0.64,61|0.1,.*)$' study/figures/sensitivity.csv)" = 2 ]
    check 'the page has its figures' [ "$(grep -c '<svg' study/report.html)" = 9 ]
    check 'whose names do not meet' [ -z "$(grep -oE " id=['\"][^'\"]*" study/report.html |
        sort | uniq -d)" ]
else
    passes_over 'no gnuplot'
    run "$nbsgd" report --no-figures study
fi

# --- the numbers
check 'what never arrives is in the median, and counted' holds \
    'ssgd \| 6 of 6 \| 15.8 \[14.4, never\], 4 of 6' study/report.md
check 'a cell that is missing is said' holds '36 runs: 34 done, 1 diverged, 1 missing' \
    study/report.md
if command -v "$python" >/dev/null; then
    run "$python" "$home/tests/report_peer.py" study
    check 'all numbers are those of a program of their own' ends 0
    [ "$(tail -n 1 <<<"$out")" = scipy ] || passes_over "$python has no scipy"
else
    passes_over "no $python"
fi

# --- the page
check 'nothing is fetched' lacks '(src|href)="?(http|//)' study/report.html
if command -v xmllint >/dev/null; then
    run xmllint --noout --nonet study/report.html
    check 'the page is well-formed' ends 0
else
    passes_over 'no xmllint'
fi
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
if [ -n "$browser" ]; then
    # a click on a table's second column, twice; then its cells are the page's title
    sed 's,</body>,<script>var t = document.querySelectorAll("table")[1];\
        function c() { return Array.from(t.tBodies[0].rows).map(r => r.cells[2].dataset.v); }\
        var b = t.querySelectorAll("th")[2]; b.click(); var up = c(); b.click();\
        document.title = up + " " + c();</script></body>,' study/report.html >clicked.html
    limit=60 run "$browser" --headless --no-sandbox --disable-gpu --dump-dom \
        --user-data-dir="$folder/profile" "file://$PWD/clicked.html"
    title=$(sed -n 's,.*<title>\(.*\)</title>.*,\1,p' <<<"$out" | head -n 1)
    sorted=$(tr , '\n' <<<"${title%% *}" | sort -g | paste -sd,)
    turned=$(tr , '\n' <<<"${title%% *}" | sort -gr | paste -sd,)
    check 'in a browser a click sorts a table, and again turns it' \
        [ "$title" = "$sorted $turned" -a "$(tr -dc , <<<"$sorted")" = ,, ]
else
    passes_over 'no Chromium'
fi

# --- a run
net=(--network lenet5 --backend ref --dataset synthetic --synthetic-channels 1 --synthetic-side 16
    --train-samples 64 --batch 16 --minibatches 2 --updates 4 --eval-samples 40 --lr 0.05
    --per-class --scheme ssgd --threads 1)
run "$nbsgd" --world sim --workers 2 "${net[@]}" --results classes
check 'a run that counts by class' ends 0
run "$mpirun" -n 3 "$nbsgd" "${net[@]}" --results classes-mpi
check 'over MPI' ends 0
check 'the same counts' same_rows classes/confusion.csv classes-mpi/confusion.csv
right() { # FILE: percent that was said rightly
    rows "$1" | awk -F, '{ n += $2; right += $(NR + 2) } END { printf "%.4f", 100 * right / n }'
}
check 'which are those of the last row' [ "$(right classes/confusion.csv)" = \
    "$(rows classes/eval.csv | tail -n 1 | cut -d, -f 6)" ]
run "$nbsgd" report classes
check 'reported by class' holds '^recall,%,,,,9,,,' classes/report.csv
check 'and drawn' holds '</svg>' classes/figures/confusion.svg
check 'losses of the workers are drawn' holds '</svg>' classes/figures/workers.svg
workers=$(awk -F, '/^#/ { next } NF == 3 && !$1 { block++ }
    NF == 3 { last[block] = $3 } END { print block, last[1], last[2] }' classes/figures/workers.csv)
check 'a block a worker, to all its samples' [ "$workers" = '2 64 64' ]
check 'and the norm of the weights' [ \
    "$(rows classes/eval.csv | cut -d, -f 1,9 | awk -F, '{ print $1 + 0 "," $2 }')" = \
    "$(awk -F, '/^#/ { next } !NF { exit } 1' classes/figures/workers.csv)" ]
sed -i '$d' classes/confusion.csv
run "$nbsgd" report --no-figures classes
check 'counts without a class' ends 2 'confusion.csv has 9 rows, and not as many columns'
run "$nbsgd" --world sim --network quadratic --updates 5 --workers 3 --scheme asgd --results toy
run "$nbsgd" report --no-figures toy
check 'a run is reported' ends 0 '1 of 1 runs have ended'
check 'rank by rank' holds '^rank_seconds,s,,,useful,3,' toy/report.csv
rm toy/summary.json
printf '1,2' >>toy/eval.csv
run "$nbsgd" report --no-figures toy
check 'a run that was killed in a row: as far as it got' ends 0 'toy has no summary' '0 of 1'
check 'what it did not reach is not known' lacks '^tta,.*,inf' toy/report.csv

if command -v gnuplot >/dev/null; then
    odd="y'; touch TOUCHED; '"$'\n'"# footer: none"
    cp -r toy "$odd"
    run "$nbsgd" report "$odd"
    check 'a name is no command, and no line of a head' [ -e "$odd/figures/accuracy.png" -a \
        ! -e TOUCHED -a "$(grep -c '^# footer' "$odd/report.csv" "$odd/figures/accuracy.csv" |
            grep -c ':0$')" = 1 ]
fi

# --- without gnuplot, on a full disk
mkdir bin
run env PATH="$PWD/bin" "$nbsgd" report toy
check 'without gnuplot rows are kept, and the command is said' ends 0 \
    'gnuplot is missing or failed; draw it with gnuplot -c .*accuracy.gp toy/figures/accuracy.svg'
check 'rows of a figure' holds '^# footer: quadratic' toy/figures/accuracy.csv
# shellcheck disable=SC2016
run bash -c 'ulimit -f 1; "$0" report --no-figures study' "$nbsgd"
check 'a disk that is full' ends 3 'cannot write study/report'

# --- what is refused
refused() { # TEXT SED FILE: the study, with that file changed
    rm -rf bad
    fixture bad
    sed -i "$2" "bad/$3"
    run "$nbsgd" report --no-figures bad
    check "refused: $1" ends 2 "$1"
}

# --- as many thresholds as there may be; a case in which all diverged
fixture many
awk -F, -v OFS=, '!/^#/ {
        for (i = 1; i <= 30; i++) $NF = (++seen[i] == 1 ? "tta_" i : "inf") FS $NF
    }
    $1 == "slow" && $4 == "done" { $4 = "diverged" } 1' many/study.csv >many.csv
mv many.csv many/study.csv
run env MALLOC_PERTURB_=85 "$nbsgd" report --no-figures many
check '32 thresholds' ends 0
check 'all in the table of pairs' holds '^\| setting \| P, 60 %.* ratio, 1 % \|$' many/report.md
check 'all diverged: no time is equal' lacks '^top1_at_seconds,%,slow,' many/report.csv
check 'else one is' holds '^top1_at_seconds,%,even,' many/report.csv


# --- runs that ended before others got there
fixture cut
sed -i -E '/^slow,ssgd,[56],/s/^(([^,]*,){11})30,/\13,/; /^even,asgd,[3-6],/d' cut/study.csv
run "$nbsgd" report --no-figures cut
check 'a median that rests on them' holds '^\| ssgd \| 6 of 6 \|.*never\], 4 of 6, 2 cut short' \
    cut/report.md
check 'a ratio, and its pairs' holds '^\| nbssgd \|.*\], 6 of 6, 2 cut short \|' cut/report.md
check 'a profile' holds '^profile,,,ssgd,.*,1$' cut/report.csv
check 'few runs are said' holds 'covers 50 to 96.9 %, by its runs; below 95 %: fewer than six' \
    cut/report.md
check 'many too' holds 'covers 93.8 to 96.9 %' cut/report.md

# --- titles, images, what was drawn before
fixture odd
title=$(printf 'ä%.0s' {1..130})
sed -i "s/^# title: .*/# title: a<b> | c \& $title"$'\303'/ odd/study.csv
sed -i 's/^# evaluate: test/# evaluate: val/' odd/cells/even/ssgd/seed-1/eval.csv
sed -i "s/^# slow: .*/# slow: $(printf '%d=1,' {1..300})4=7/" odd/cells/slow/*/*/eval.csv
mkdir odd/figures
touch odd/figures/accuracy-gone.svg odd/figures/mine.svg
run env PATH="$PWD/bin" "$nbsgd" report odd/
check 'what was drawn before is gone, the rest stays' [ -e odd/figures/mine.svg -a \
    ! -e odd/figures/accuracy-gone.svg -a -e odd/figures/accuracy-even.csv ]
check 'a title in Markdown' holds '^# a&lt;b> \\\| c &amp; ä+$' odd/report.md
check 'whole characters' iconv -f UTF-8 -t UTF-8 -o utf8 odd/figures/tta.csv odd/report.md
check 'images of both kinds' holds 'top-1 of the test or held-out images' odd/report.md
check 'on the page, too' holds 'top-1 of the test or held-out images' odd/report.html
check 'all runs are said to be elsewhere' holds 'all runs is in report.html.* study.csv' \
    odd/report.md
check 'a long line of factors' holds '^7,' odd/figures/throughput.csv
run "$nbsgd" report --no-figures toy//
check 'a folder with a slash has a title' holds '^# toy$' toy/report.md

# --- commands: each works from the page's folder, also where all was moved together
mkdir -p "it's/work/results"
cd "it's/work" || exit 1
printf 'latency_s = 1e-5\nbandwidth_bytes_per_s = 1e9\n[minibatch_s]\n%s\n' \
    'quadratic cifar 8 f32 1 = 0.02' >machine.ini
printf '%s\n' '[study]' 'seeds = 1 2' '[base]' 'world = sim' 'machine = machine.ini' \
    'network = quadratic' 'batch = 8' 'minibatches = 1' 'samples = 400' '[setting ssgd]' \
    'scheme = ssgd' '[setting asgd]' 'scheme = asgd' >a.ini
run "$nbsgd" study a.ini --results results/a
run "$nbsgd" --config a.ini --results none
run "$nbsgd" --world sim --machine machine.ini --network quadratic --batch 8 --minibatches 1 \
    --samples 400 --results results/one
cd ../..
mv "it's" "that's"
for name in a one; do
    run "$nbsgd" report --no-figures "that's/work/results/$name"
    check "$name is reported" ends 0
    sed -n '/id="commands"/,/<\/pre>/p' "that's/work/results/$name/report.html" |
        grep -oE '\(cd .*\)' | sed "s/&amp;/\&/g; s/&#39;/'/g; s/&quot;/\"/g" >commands
    runs=4
    [ $name = a ] || runs=1
    check "$name: a command each" [ "$(wc -l <commands)" = $runs ]
    check "$name: no folder of this machine" lacks "$folder" \
        "that's/work/results/$name/report.html"
    (
        cd "that's/work/results/$name" || exit
        PATH=$(dirname "$nbsgd"):$PATH bash -e "$folder/commands"
    ) >said 2>&1
    check "$name: they work" [ "$(grep -c '^results: results/' said)" = "$(wc -l <commands)" ]
done
again=$(sed -n 's/^results: //p' said | tail -n 1)
check 'and run the same' same_rows "that's/work/$again/eval.csv" that\'s/work/results/one/eval.csv

run "$nbsgd" report bin
check 'a folder of nothing' ends 2 'bin holds neither study.csv .* nor a run'
run "$nbsgd" report --baseline sgd study
check 'a baseline that is none' ends 2 "baseline sgd: no setting"
run "$nbsgd" report
check 'no folder' ends 2 'one folder is expected'
refused 'study.csv has no column status' 's/,status,/,state,/' study.csv
refused 'study.csv:9: not 33 fields' '9s/,done//' study.csv
refused "the status 'ended' is none" '7s/,done,/,ended,/' study.csv
refused "the setting '../../x' is no name" '7s,nbssgd,../../x,' study.csv
refused 'the column tta_x is no threshold' 's/tta_60/tta_x/' study.csv
refused "the seed '1a' is no number" '5s/,1,/,1a,/' study.csv
refused 'has no column top1' 's/,top1,/,accuracy,/' cells/even/ssgd/seed-2/eval.csv
refused 'row 4: seconds are no numbers that rise' '/^3,/s/3/1/' cells/even/ssgd/seed-2/eval.csv
refused 'a zero byte in it' '1s/h/\x0/' cells/even/ssgd/seed-2/eval.csv
rm study/cells/even/ssgd/seed-2/eval.csv
run "$nbsgd" report --no-figures study
check 'refused: a cell without rows' ends 2 'seed-2/eval.csv: No such file'

finish
