#!/usr/bin/env bash
# data_loader/fetch, with files of the test's own as the published ones: a data set is there whole
# or not at all, a broken download goes on, and a damaged file is found.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
command -v curl >/dev/null || skip 'no curl'
fetch=$home/data_loader/fetch
md5() { md5sum "$@" | cut -d' ' -f1 | tr '\n' ' '; }

run "$fetch" mnist
check 'a word is missing' ends 2 'call it as: data_loader/fetch NAME FOLDER; names are mnist'
run "$fetch" cifar11 got
check 'an unknown name' ends 2 "no data set is called 'cifar11'; there are: mnist fashion-mnist"
touch file
run "$fetch" mnist file
check 'no folder' ends 2 'file: no folder that can be written to'

# four files as they are
idx=(train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz t10k-images-idx3-ubyte.gz
    t10k-labels-idx1-ubyte.gz)
mkdir right wrong
for name in "${idx[@]}"; do seq 1 20000 | sed "s/^/$name/" | gzip -n >"right/$name"; done
cp right/* wrong/
head -c 1000 "right/${idx[2]}" >"wrong/${idx[2]}"
sums=$(cd right && md5 "${idx[@]}")
digits() { # PLACE
    run env FETCH_URL="$1" FETCH_MD5="$sums" "$fetch" mnist got
}
digits "file://$folder/nowhere"
check 'nothing there' ends 3 'nowhere/train-images.*: cannot be downloaded \(.*is there a network'
check 'leaves nothing' [ -z "$(ls got)" ]
digits "file://$folder/wrong"
check 'another file' ends 3 'wrong/t10k-images.*: not the file that was expected \(MD5 differs'
check 'leaves no data set, but what was good' eval '[ ! -e got/mnist ] && [ "$(ls got/mnist.part |
    wc -l)" = 2 ]'
head -c 5000 "right/${idx[2]}" >"got/mnist.part/${idx[2]}"
digits "file://$folder/right"
check 'goes on with both' ends 0 'downloading t10k-images' 'got/mnist is there'
check 'not with what was there' eval '! grep -q "downloading train" <<<"$out"'
check 'and is whole' diff -r right got/mnist
check 'leaves nothing else' [ "$(ls got)" = mnist ]
digits "file://$folder/nowhere"
check 'what is there is left alone' ends 0 'got/mnist is there'
printf 'x' | dd of="got/mnist/${idx[1]}" bs=1 seek=500 conv=notrunc status=none
digits "file://$folder/nowhere"
check 'a flipped byte is found' ends 3 "${idx[1]} is missing or damaged: its MD5 is not" \
    'cannot be downloaded'
digits "file://$folder/right"
check 'and mended' diff -r right got/mnist

# an archive
mkdir cifar-100-binary archives
truncate -s 153700000 cifar-100-binary/train.bin
truncate -s 30740000 cifar-100-binary/test.bin
tar -c cifar-100-binary | gzip -1 >archives/cifar-100-binary.tar.gz
sums=$(md5 archives/cifar-100-binary.tar.gz)
cifar100() { # PLACE
    run env FETCH_URL="$1" FETCH_MD5="$sums" "$fetch" cifar100 got
}
mkdir got/cifar-100-binary.part
head -c 70000 archives/cifar-100-binary.tar.gz >got/cifar-100-binary.part/cifar-100-binary.tar.gz
cifar100 "file://$folder/archives"
check 'an archive' ends 0 'downloading cifar-100-binary.tar.gz' 'got/cifar-100-binary is there'
check 'unpacked' cmp cifar-100-binary/train.bin got/cifar-100-binary/train.bin
check 'and removed' [ ! -e got/cifar-100-binary.part ]
printf 'x' | dd of=got/cifar-100-binary/test.bin bs=1 seek=1000 conv=notrunc status=none
cifar100 "file://$folder/nowhere"
check 'a flipped byte of a file that was in it' ends 3 'test.bin: FAILED; it is fetched again'
rm got/cifar-100-binary/.md5
cifar100 "file://$folder/nowhere"
check 'of files that somebody else has put there the lengths are known' ends 0
truncate -s -1 got/cifar-100-binary/test.bin
cifar100 "file://$folder/nowhere"
check 'a short file' ends 3 'test.bin has 30739999 bytes, not 30740000; it is fetched again'
cp archives/cifar-100-binary.tar.gz twice.gz
cat twice.gz twice.gz >got/cifar-100-binary.tar.gz
mkdir -p got/cifar-100-binary.part
mv got/cifar-100-binary.tar.gz got/cifar-100-binary.part/
cifar100 "file://$folder/archives"
check 'begun with more than there is: once more, anew' ends 0 'is there'
rm -r cifar-100-binary/test.bin got/cifar-100-binary
tar -c cifar-100-binary | gzip -1 >archives/cifar-100-binary.tar.gz
sums=$(md5 archives/cifar-100-binary.tar.gz)
cifar100 "file://$folder/archives"
check 'an archive without a file' ends 3 'holds no whole cifar-100-binary: test.bin has 0 bytes'
check 'leaves no data set' [ ! -e got/cifar-100-binary ]
finish
