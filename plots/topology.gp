# The steps of a topology, a panel each, nodes on a circle.
#
#   gnuplot -c plots/topology.gp OUT.svg EDGES NODES TITLE
#
# EDGES: lines "I J", "step" between steps, "directed" first where an edge goes one way
# (./nbsgd topology ... --figure OUT.svg). More than twelve steps: the first twelve.
path(name) = name[1:1] eq "/" ? name : "./".name
nodes = int(ARG3)
most = 12
lines = ""
step = 0
one_way = 0
x(i) = sin(2 * pi * i / nodes)
y(i) = cos(2 * pi * i / nodes)
# each edge as a line of a data block, in the block of its step
array block[most]
do for [i=1:most] { block[i] = "" }
take(a, b) = (a eq "step" ? (step = step + 1) : a eq "directed" ? (one_way = 1) : \
    step < most ? (block[step + 1] = block[step + 1].sprintf("%s %s ", a, b)) : 0, 0)
set datafile separator "\001"
set datafile commentschars "#"
stats path(ARG2) using (take(word(strcol(1), 1), word(strcol(1), 2))) nooutput
set datafile separator
panels = step + 1 > most ? most : step + 1
columns = panels > 4 ? 4 : panels
rows = (panels + columns - 1) / columns
if (ARG1[strlen(ARG1) - 2:] eq "svg") {
    set terminal svg size 260 * columns, 260 * rows + 40 font "sans,11" background rgb "white"
} else {
    set terminal pngcairo size 260 * columns, 260 * rows + 40 font "sans,11"
}
set output path(ARG1)
unset border
unset tics
unset key
set size ratio -1
set xrange [-1.2:1.2]
set yrange [-1.2:1.2]
set samples nodes < 2 ? 2 : nodes
set multiplot layout rows,columns title ARG4.(step + 1 > most ? \
    sprintf(": the first %d of %d steps", most, step + 1) : "") noenhanced
do for [p=1:panels] {
    unset arrow
    set title panels > 1 ? sprintf("step %d", p - 1) : ""
    do for [k=1:words(block[p]):2] {
        a = int(word(block[p], k))
        b = int(word(block[p], k + 1))
        if (one_way) {
            set arrow from x(a),y(a) to x(a) + 0.93 * (x(b) - x(a)),y(a) + 0.93 * (y(b) - y(a)) \
                head filled size 0.08,18 lc rgb "#0072b2" lw 1.2
        } else {
            set arrow from x(a),y(a) to x(b),y(b) nohead lc rgb "#0072b2" lw 1.2
        }
    }
    plot "+" using (x($0)):(y($0)) with points pt 7 ps (nodes > 40 ? 0.5 : 1.6) lc rgb "#d55e00", \
        "+" using (1.13 * x($0)):(1.13 * y($0)):(nodes <= 40 ? sprintf("%d", $0) : "") with labels
}
unset multiplot
