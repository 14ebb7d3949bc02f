# What the figures of nbsgd report share. Before: here, wide and high; figure (.svg,
# .png) and data, its rows.
#
# settings, count    names, how many     hue(k), dash(k), mark(k)    of setting k: they differ in
# rows               the file            grey, and for the colour-blind (Okabe and Ito's colours)
# top                title and footer
array heads[1] = [data]
load here."head.gp"
if (figure[strlen(figure) - 2:] eq "svg") {
    set terminal svg size wide,high font "sans,11" linewidth 1.2 background rgb "white" noenhanced
} else {
    set terminal pngcairo size wide,high font "sans,11" linewidth 1.3 noenhanced
}
set output path(figure)
rows = path(data)
unset datafile columnheaders
set datafile commentschars "#"
settings = said("settings")
count = words(settings)
cases = said("cases")
targets = said("targets")
top = said("title")."\n".said("footer")
array colour[8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", \
    "#7f7f7f"]
hue(k) = colour[(int(k) - 1) % 8 + 1]
dash(k) = (int(k) - 1) % 5 + 1
array marks[8] = [7, 4, 9, 6, 5, 8, 3, 11]
mark(k) = marks[(int(k) - 1) % 8 + 1]
set grid lc rgb "#dddddd"
set border 3
set tics nomirror
