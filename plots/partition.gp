# Which classes each worker draws from: one stack per worker, as high as it has samples.
#
#   gnuplot -c plots/partition.gp OUT.png DIR             DIR has a partition.csv
set terminal pngcairo size 1200,600 font "sans,11"
set output ARG1
set datafile separator ","
set datafile columnheaders
file = ARG2."/partition.csv"
stats file using 0 nooutput
workers = STATS_records
columns = STATS_columns
classes = columns - 3
every_worker = workers / 40 + 1
label_of(row, text) = int(row) % every_worker ? "" : text
setting(name) = system(sprintf("sed -n 's/^# %s: //p' '%s'", name, file))
how = setting("partition")
alpha = how eq "dirichlet" ? ", alpha ".setting("dirichlet") : ""
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
footer(files) = system("awk -f '".here."footer.awk' ".files)
set title sprintf("%s: partition %s%s\n%s", last_part(ARG2), how, alpha, \
    footer("'".file."'")) noenhanced
set style data histograms
set style histogram rowstacked
set style fill solid border rgb "white"
set boxwidth 0.85
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
set xlabel "worker"
set ylabel "training samples"
set yrange [0:*]
set xrange [-0.6:workers - 0.4]
set key outside right reverse Left noenhanced invert
plot for [i=4:columns] file using i:xtic(label_of($0, strcol(1))) title sprintf("class %d", i - 4) \
    lc rgb hsv2rgb((i - 4) * 1.0 / classes, 0.55, i % 2 ? 0.95 : 0.75)
