# Confusion matrix: of the images of each class, the percent that were said to be of each.
#
#   gnuplot -c plots/confusion.gp OUT.svg ROWS       ROWS: figures/confusion.csv of nbsgd report
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
figure = ARG1 # a file that is loaded has arguments of its own
data = ARG2
wide = 760
high = 700
load here."report.gp"
classes = int(said("classes"))
set title top noenhanced font ",9"
set xlabel "class that was said"
set ylabel "class"
set size ratio 1
set xrange [-0.5:classes - 0.5]
set yrange [classes - 0.5:-0.5]
set cbrange [0:100]
set cblabel "percent of the class's images"
set palette defined (0 "white", 5 "#c6dbef", 50 "#4292c6", 100 "#08306b")
set style fill solid noborder
unset key
ink(p) = p > 40 ? 0xffffff : 0x000000
text(p) = classes <= 20 && p >= 0.5 ? sprintf("%.0f", p) : ""
plot rows using 2:1:(0.5):(0.5):3 with boxxyerror lc palette, \
    rows using 2:1:(text($3)):(ink($3)) with labels font ",8" tc rgb variable
