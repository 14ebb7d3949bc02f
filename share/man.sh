#!/usr/bin/env bash
# Prints the man page of a program: what the program says of its options and schemes, between what
# stands here.
#
#   share/man.sh PROGRAM VERSION DATADIR >nbsgd.1
set -euo pipefail
export LC_ALL=C
program=$1 version=$2 datadir=$3

# Text as roff takes it: backslashes and dashes escaped, no line that looks like a request.
plain() { sed -E 's/\\/\\e/g; s/-/\\-/g; s/^([.'\''])/\\\&\1/'; }

options() {
    "$program" --print-options | plain | awk -F'\t' '
    $5 != title { title = $5; print ".SS \"" title "\"" }
    {
        value = $6 != "" ? $6 : $7
        gsub(/[|]/, "|\\:", value) # a line may end there
        print ".TP"
        if ($2 == "flag") print ".BR \\-\\-" $1 " \", \" \\-\\-no\\-" $1
        else print ".BI \\-\\-" $1 "= \"" value "\""
        preset = $3 == "" ? "" : " [" $3 "]"
        print "\\&" $4 preset
    }'
}

families() { # the lists at the end of --help: "Title (--option):", then "  name  text", wrapped
    "$program" --help | sed -n '/^Schemes:/,$p' | plain | awk '
    /^(Commands|Examples)/ { ended = 1 } # what follows is read to its end: no broken pipe
    ended { next }
    /^[A-Z].*:$/ {
        sub(/:$/, "")
        title = $0; sub(/ \(.*/, "", title)
        print ".SH \"" toupper(title) substr($0, length(title) + 1) "\""
        next
    }
    /^  [^ ]/ {
        name = $1; sub(/^ +[^ ]+ */, "")
        print ".TP\n.B " name
    }
    NF { sub(/^ +/, ""); print "\\&" $0 }'
}

commands() {
    "$program" --help | sed -n '/^Commands/,/^$/p' | plain | awk '
    /^Commands/ { next }
    /^  [^ ]/ { print ".TP\n.B " $1; sub(/^ +[^ ]+ */, "") }
    NF { sub(/^ +/, ""); print "\\&" $0 }'
}

cat <<END
.TH NBSGD 1 "" "nbsgd $version"
.ad l
.nh
.SH NAME
nbsgd \- distributed SGD over MPI: many schemes, one clock
.SH SYNOPSIS
.B mpirun \-n
.I RANKS
.B nbsgd
.RI [ OPTIONS ]
.br
.B nbsgd \-\-world sim \-\-workers
.I N
.RI [ OPTIONS ]
.SH DESCRIPTION
Rank 0 is a parameter server, the other ranks train a network, and a scheme, chosen by name, says
who sends what to whom, and when. All schemes run on the same messages, the same order of samples,
the same slow workers and the same clock, so that their time to accuracy can be compared.
.P
With
.B \-\-world sim
one process simulates all ranks and the network between them in virtual time.
.P
Every run leaves a folder of results: its options (config.ini, which
.B \-\-config
reads again), its evaluations (eval.csv), where each rank's time went (ranks.csv), the updates
(events.jsonl), a summary (summary.json) and a figure.
.SH OPTIONS
Presets are in brackets.
END
options
cat <<'END'
.SS "Files and help"
.TP
.BI \-\-config= FILE
options from a file, a line each: name = value. The command line wins.
.TP
.B \-\-help
all options, briefly
.TP
.B \-\-version
version, backends and libraries
END
families
echo '.SH COMMANDS'
echo 'The first word; without one it trains.'
commands
cat <<END
.SH EXIT STATUS
.TP
.B 0
finished
.TP
.B 2
a mistake in the options
.TP
.B 3
a library, a disk or a message failed
.TP
.B 4
the loss is no longer a number
.TP
.B 5
a rank was silent for \fB\-\-deadline\fR seconds; it is named
.TP
.B 6
stopped by SIGTERM or SIGUSR2: evaluated and saved
.TP
.B 7
trained to its end, but rows, weights or a record could not be written; they are named
.TP
.B 8
a run of a study failed; it is named
.SH ENVIRONMENT
.TP
.B DATA
the folder of CIFAR\-10's binary files, unless \fB\-\-data\fR names it
.TP
.B NBSGD_DATADIR
where plots/ and experiments/ are, instead of the installed ones; a folder without them: no figures
.SH FILES
.TP
.I $datadir/plots
scripts of gnuplot that draw the figures
.TP
.I $datadir/experiments
files of options for \fB\-\-config\fR
.SH EXAMPLES
.nf
mpirun \-n 5 nbsgd \-\-scheme nbssgd \-\-slow 4=4
nbsgd \-\-world sim \-\-workers 8 \-\-scheme ssgd \-\-network resnet20
.fi
.SH SEE ALSO
.BR mpirun (1),
.BR gnuplot (1)
END
