# A study of made curves, as `nbsgd study` leaves it: writes DIR/study.csv and its cells' rows.
#
#   awk -v dir=DIR -f tests/report_fixture.awk
#
# Two cases, three settings, six seeds. Top-1 rises to 80 % along 1 - exp(-t / tau), by steps of a
# second to the 30th; tau is a setting's, a case's and a seed's. In `slow`, ssgd with seeds 5 and 6
# stays below 60 %, asgd with seed 1 diverges after 4 s, and its seed 6 is missing.
function cell(c, k, seed, tau, high, end, status, folder, file, t, y, first60, first70, last, i) {
    folder = "cells/" cases[c] "/" settings[k] "/seed-" seed
    file = dir "/" folder "/eval.csv"
    system("mkdir -p '" dir "/" folder "'")
    last = 0
    for (i = 60; i <= 70; i += 10) tta[i] = "inf"
    if (status != "missing") {
        print "# host: cell\n# cores: 8\n# ranks: 1\n# scheme: " settings[k] "\n# network: lenet5" \
            "\n# seed: " seed "\n# world: sim\n# workers: 4\n# servers: 1\n# sim-latency: 2e-05" \
            "\n# sim-bandwidth: 1.25e+09\n# evaluate: test\n# slow: " (c == 2 ? "4=4" : "") \
            "\nseconds,samples,updates,epoch,loss,top1,top5,training_loss" >file
        for (t = 0; t <= end; t++) {
            y = high * (1 - exp(-t / tau))
            printf "%d,%d,%d,%.3f,%.4f,%.4f,%.4f,%.4f\n", t, t * 100 * k, t * 10, t / 10,
                2.3 - y / 50, y, y, 2.3 >file
            for (i = 60; i <= 70; i += 10)
                if (tta[i] == "inf" && y >= i && t < end) tta[i] = t - (y - i) / (y - last)
            last = y
        }
        close(file)
        print "histogram,value,count\nstaleness," k - 1 ",10\nstaleness," k ",20\n" \
            "minibatches_per_update,4,30" >(dir "/" folder "/histograms.csv")
        close(dir "/" folder "/histograms.csv")
    }
    printf "%s,%s,%d,%s", cases[c], settings[k], seed, status >study
    if (status == "missing") print ",,,,,,,,,,,,,,,,,,,,,,,,,,,,," folder >study
    else printf ",%d,%s,sim,lenet5,4,1,test,%d,%d,%d,%.4f,%.4f,%.4f,1.5,%d,0.5,0.1,0,0,0.05,0.05," \
        "0.3,0,%d,4,4,%s,%s,%s\n", status == "done" ? 0 : 4, settings[k], end, end * 100 * k,
        end * 10, last, last, last, 100 * k, k - 1, tta[60], tta[70], folder >study
}
BEGIN {
    split("even slow", cases, " ")
    split("nbssgd ssgd asgd", settings, " ")
    study = dir "/study.csv"
    system("mkdir -p '" dir "'")
    print "# program: nbsgd 0.2.0 (fixture)\n# title: made curves\n# targets: 60 70" >study
    print "case,setting,seed,status,exit,scheme,world,network,workers,servers,evaluated,seconds," \
        "samples,updates,top1,top5,best_top1,loss,images_per_s,useful_share,aborted_share," \
        "dropped_share,delay_share,update_share,transfer_share,wait_share,other_share," \
        "staleness_mean,minibatches_per_update,minibatches_per_update_harmonic,tta_60,tta_70," \
        "folder" >study
    for (c = 1; c <= 2; c++)
        for (k = 1; k <= 3; k++)
            for (seed = 1; seed <= 6; seed++) {
                tau = (3 + k) * (c == 2 && k == 2 ? 2 : 1) + (seed * 7 % 5) * 0.4
                cell(c, k, seed, tau, c == 2 && k == 2 && seed > 4 ? 59 : 80,
                    c == 2 && k == 3 && seed == 1 ? 4 : 30, c < 2 || k < 3 ? "done" : \
                    seed == 1 ? "diverged" : seed == 6 ? "missing" : "done")
            }
}
