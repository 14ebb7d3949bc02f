# Which classes each worker draws from. Up to 20 classes: one stack per worker, as high as it has
# samples. More: a map of workers and classes, as dark as samples are; above 200 classes several
# share a row of it.
#
#   gnuplot -c plots/partition.gp OUT.png DIR             .png or .svg; DIR has a partition.csv
if (ARG1[strlen(ARG1) - 2:] eq "svg") {
    set terminal svg size 1200,600 font "sans,11" background rgb "white"
} else {
    set terminal pngcairo size 1200,600 font "sans,11"
}
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
array heads[1] = [ARG2."/partition.csv"]
file = (ARG2[1:1] eq "/" ? "" : "./").heads[1]
set datafile separator ","
set datafile columnheaders
stats file using 0 nooutput
workers = STATS_records
columns = STATS_columns
if (columns > 100) { # head.gp would have to read long lines; another file has the same head
    heads[1] = ARG2."/eval.csv"
}
load here."head.gp"
set output path(ARG1)
classes = columns - 3
every_worker = workers / 40 + 1
label_of(row, text) = int(row) % every_worker ? "" : text
alpha = said("partition") eq "dirichlet" ? ", alpha ".said("dirichlet") : ""
set title last_part(ARG2).": partition ".said("partition").alpha."\n".footer noenhanced
set border 3
set tics nomirror
set xlabel "worker"
set xrange [-0.6:workers - 0.4]

# the name of class c, its number where it has none
skip_names(list, c) = c ? skip_names(list[strstrt(list, ", ") + 2:], c - 1) : list
name_of(c) = said("class names") eq "" ? sprintf("class %d", c) : \
    (rest = skip_names(said("class names"), c), \
    strstrt(rest, ", ") ? rest[1:strstrt(rest, ", ") - 1] : rest)

if (classes <= 20) {
    set style data histograms
    set style histogram rowstacked
    set style fill solid border rgb "white"
    set boxwidth 0.85
    set grid ytics lc rgb "#dddddd"
    set ylabel "training samples"
    set yrange [0:*]
    set key outside right reverse Left noenhanced invert
    plot for [i=4:columns] file using i:xtic(label_of($0, strcol(1))) title name_of(i - 4) \
        lc rgb hsv2rgb((i - 4) * 1.0 / classes, 0.55, i % 2 ? 0.95 : 0.75)
} else {
    lines = classes < 200 ? classes : 200
    from(line) = 4 + classes * line / lines
    count(line) = sum [k=from(line):from(line + 1) - 1] column(k)
    high = 0.5 * classes / lines
    set ylabel "class"
    set yrange [-0.5:classes - 0.5]
    set cbrange [0:*]
    set cblabel lines < classes ? \
        sprintf("training samples, of %.3g classes together", classes * 1.0 / lines) : \
        "training samples"
    set palette defined (0 "white", 0.05 "#c6dbef", 0.5 "#4292c6", 1 "#08306b")
    set style fill solid noborder
    unset key
    plot for [line=0:lines - 1] \
        file using 0:(from(line) - 4.5 + high):(0.5):(high):(count(line)):xtic( \
        label_of($0, strcol(1))) with boxxyerror lc palette
}
