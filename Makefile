# How nbsgd is built, tested, measured and installed. `make help` lists the targets.
#
# Sources, tests and benches are found by their folders: a file that is added needs no line here.
# $(BUILD)/flags holds every flag that reaches the compiler, so a changed setting rebuilds all.

VERSION  := 0.2.0

# ------------------------------------------------ settings: here, or on the command line
# CC, CPPFLAGS, CFLAGS and LDFLAGS are taken from the environment, too; they come last.
MODE     := release
MPICC    := mpicc
MPIRUN   := mpirun
ARCH     :=
CPPFLAGS ?=
CFLAGS   ?=
LDFLAGS  ?=
HARDEN   := 1
PREFIX   := /usr/local
DESTDIR  :=
TIDY     := clang-tidy
RUN_ARGS :=
T        :=
V        :=
HASH     := \#
header    = $(shell echo '$(HASH)include <$(1)>' | $(CC) -E -x c - >/dev/null 2>&1; echo $$?)
comma    := ,
# oneDNN's major version, empty without one: in ONEDNN_DIR, or where the compiler looks.
ONEDNN_DIR :=
ONEDNN_AT  := $(if $(ONEDNN_DIR),-isystem $(abspath $(ONEDNN_DIR))/include)
ONEDNN_IS  := $(filter 2 3,$(shell printf '$(HASH)include <dnnl.h>\nDNNL_VERSION_MAJOR\n' | \
    $(CC) $(ONEDNN_AT) $(CPPFLAGS) -E -P -x c - 2>/dev/null | tail -n 1))
ONEDNN   := $(if $(ONEDNN_IS),1,0)
OPENBLAS := 1
# libjpeg-turbo's jpeglib.h: other libraries of that name cannot decode a part of an image.
JPEG     := $(if $(findstring jpeg_crop_scanline,$(shell printf '%s\n' '$(HASH)include <stdio.h>' \
    '$(HASH)include <jpeglib.h>' | $(CC) -E -x c - 2>/dev/null)),1,0)
PNG      := $(if $(filter 0,$(call header,png.h)),1,0)
CUDA     ?= 0
CUDA_HOME ?= /usr/local/cuda
CUDA_ARCH := 90

# ------------------------------------------------ flags
MODE_release := -O2 -g
MODE_debug   := -Og -g3
MODE_asan    := -O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined \
    -fno-sanitize-recover=undefined
MODE_tsan    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
MODE_fuzz    := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
    -fno-sanitize-recover=undefined
MODE_coverage := -O1 -g -fsanitize=fuzzer-no-link -fprofile-instr-generate -fcoverage-mapping
ifndef MODE_$(MODE)
$(error MODE=$(MODE) is unknown: release, debug, asan, tsan, fuzz or coverage)
endif

BUILD   := build/$(MODE)
Q       := $(if $(V),,@)
WARN    := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes
DEFINES := -I. $(filter -I% -D%,$(shell $(MPICC) -show 2>/dev/null))
LIBS    := -linih -lxxhash -lz -lhwloc -lm -ldl

# Hardening. Fortified calls need an optimising build, and hide accesses from the sanitizers.
ifeq ($(HARDEN),1)
SAFE      := -fstack-protector-strong -fPIE
SAFE_LINK := -pie -Wl,-z,relro,-z,now
ifeq ($(MODE)$(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS)),release)
SAFE      += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
endif

# Optional libraries: each has its folder, the one macro that backend/backend.c asks for, and what
# to link.
ifeq ($(ONEDNN),1)
CHOSEN  += backend/onednn
DEFINES += -DWITH_ONEDNN $(ONEDNN_AT)
LIBS    += $(if $(ONEDNN_DIR),-L$(abspath $(ONEDNN_DIR))/lib \
    -Wl$(comma)-rpath$(comma)$(abspath $(ONEDNN_DIR))/lib) -ldnnl
endif
# OpenBLAS is not linked: backend/blas.c loads it at run time, after it has chosen the kernels, and
# does without it. OPENBLAS=0 leaves out the backend of that name; onednn takes products from the
# library wherever it is found.
ifeq ($(OPENBLAS),1)
CHOSEN  += backend/openblas
DEFINES += -DWITH_OPENBLAS
endif

ifeq ($(JPEG),1)
CHOSEN  += bitmap/jpeg
DEFINES += -DWITH_JPEG
LIBS    += -ljpeg
endif
ifeq ($(PNG),1)
CHOSEN  += bitmap/png
DEFINES += -DWITH_PNG
LIBS    += -lpng
endif

# CUDA: our own kernels run on GPUs of compute capability CUDA_ARCH (90: 9.0) and newer.
# -fmad=false: the CPU's bits.
NVCC    := $(CUDA_HOME)/bin/nvcc
ifeq ($(CUDA),1)
CHOSEN  += backend/cudnn
DEFINES += -DWITH_CUDNN -DCUDA_ARCH=$(CUDA_ARCH) -isystem $(CUDA_HOME)/include
LIBS    += -L$(CUDA_HOME)/lib64 -Wl,-rpath,$(CUDA_HOME)/lib64 -l:libcudnn_graph.so.9 \
    -lcudart_static -lrt -lpthread -lstdc++
endif

# NCCL is not linked: it is loaded when --allreduce asks for it, and only its header is needed here.
NCCL    := $(if $(filter 1,$(CUDA)),$(if $(wildcard $(CUDA_HOME)/include/nccl.h),1,0),0)
ifeq ($(NCCL),1)
CHOSEN  += collective/nccl
DEFINES += -DWITH_NCCL
endif

# clang has no OpenMP of its own where only its fuzzer is installed: MODE=fuzz and
# MODE=coverage do without.
OPENMP  := -fopenmp
ifneq ($(filter fuzz coverage,$(MODE)),)
OPENMP  :=
WARN    := -w
endif

COMPILE := $(CC) -std=gnu11 -fms-extensions $(MODE_$(MODE)) $(SAFE) -ffp-contract=off $(OPENMP) \
    $(ARCH) $(WARN) $(DEFINES) $(CPPFLAGS) $(CFLAGS)
COMPILE_CU := $(NVCC) -std=c++17 -O3 -g -fmad=false -Xcompiler -Wall,-Wextra,-fPIE -I. \
    -gencode=arch=compute_$(CUDA_ARCH),code=[sm_$(CUDA_ARCH),compute_$(CUDA_ARCH)]
COMPILE_EMULATED := $(CXX) -x c++ -std=c++17 $(MODE_$(MODE)) -fPIE -ffp-contract=off -Wall -Wextra \
    -I. -include tests/cuda/emulate.h
LINK    := MPICH_CC="$(CC)" OMPI_CC="$(CC)" $(MPICC) $(MODE_$(MODE)) $(OPENMP) $(SAFE_LINK) \
    $(LDFLAGS)
COMMIT  := $(shell git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null)
DATADIR := $(PREFIX)/share/nbsgd

# ------------------------------------------------ what there is
objects   = $(patsubst %.c,$(BUILD)/%.o,$(1))
NO_CORE  := tests bench build data results
OPTIONAL := backend/onednn backend/openblas backend/cudnn collective/nccl \
    bitmap/jpeg bitmap/png
# oneDNN 2 and 3 describe their operations each in its own way.
OTHER_DNN := backend/onednn/operation_v$(if $(filter 2,$(ONEDNN_IS)),3,2).c
SOURCES  := $(filter-out $(addsuffix /%,$(NO_CORE) $(filter-out $(CHOSEN),$(OPTIONAL))) \
    $(OTHER_DNN) $(if $(OPENMP),,backend/blas.c),$(wildcard *.c */*.c */*/*.c))
CUDA_CU  := $(if $(filter backend/cudnn,$(CHOSEN)), \
    $(wildcard backend/cudnn/*.cu backend/cudnn/*/*.cu))
CUDA_O   := $(CUDA_CU:%.cu=$(BUILD)/%.cu.o)
CORE     := $(call objects,$(filter-out main.c,$(SOURCES))) $(CUDA_O)
# Tests that write images need both libraries of images.
NO_IMAGES := $(if $(filter 11,$(JPEG)$(PNG)),,tests/image_files.c tests/test_bitmap.c \
    tests/test_class_folder.c tests/test_image_shards.c tests/fuzz/bitmap.c)
TEST_ALL := $(filter-out $(NO_IMAGES),$(wildcard tests/*.c))
TEST_C   := $(filter tests/test_%.c tests/mpi_%.c,$(TEST_ALL))
TEST_AID := $(call objects,$(filter-out $(TEST_C),$(TEST_ALL)))
# tests/cuda: each test once on the device and once on the CPU, where the same kernels are compiled
# as C++ (tests/cuda/emulate.h) and tests/cuda/emulate/ replaces CUDA, cuDNN and NCCL. The plans
# need cuDNN, but no device.
NO_NCCL     := $(if $(filter 1,$(NCCL)),,tests/cuda/test_nccl.c tests/cuda/emulate/nccl.c)
CUDA_TEST_C := $(if $(CUDA_CU),$(filter-out $(NO_NCCL),$(wildcard tests/cuda/test_*.c)))
CUDA_AID_C  := $(if $(CUDA_CU),$(filter-out $(CUDA_TEST_C),$(wildcard tests/cuda/*.c)))
FAKE_C      := $(if $(CUDA_CU),$(filter-out $(NO_NCCL),$(wildcard tests/cuda/emulate/*.c)))
EMULATED_O  := $(CUDA_CU:%.cu=$(BUILD)/emulated/%.o) $(call objects,$(FAKE_C))
EMULATED_C  := $(filter-out tests/cuda/test_plans%,$(CUDA_TEST_C))
CUDA_TESTS  := $(CUDA_TEST_C:%.c=$(BUILD)/%) $(EMULATED_C:%.c=$(BUILD)/%_emulated)
# tests/fuzz: a harness a reader, linked with libFuzzer or with a driver of our own.
FUZZ_AID := $(addprefix tests/fuzz/,fuzz.c driver.c configuration.c peers.c)
FUZZ_C   := $(filter-out $(FUZZ_AID) $(NO_IMAGES),$(wildcard tests/fuzz/*.c))
FUZZERS  := $(FUZZ_C:%.c=$(BUILD)/%)
BENCH_C  := $(filter-out $(if $(filter 0,$(JPEG)),bench/loader.c),$(wildcard bench/*.c))
CLUSTER_C := $(wildcard bench/cluster/*.c)
# T=NAME: only those whose path has it.
matching  = $(if $(T),$(foreach t,$(1),$(if $(findstring $(T),$(t)),$(t))),$(1))
TESTS    := $(call matching,$(TEST_C:%.c=$(BUILD)/%) $(CUDA_TESTS))
# The Slurm test installs and starts daemons, the hosts' test makes network namespaces (and MPICH
# over TCP sometimes hangs when it ends): only `make test-slurm` and `make test-hosts` run them.
# So have openmpi.sh and threads.sh their own (make tsan). house.sh reads plain objects.
OWN_TARGET := tests/slurm.sh tests/hosts.sh tests/openmpi.sh tests/threads.sh
SCRIPTS  := $(filter-out $(OWN_TARGET) $(if $(filter asan tsan,$(MODE)),tests/house.sh), \
    $(wildcard tests/*.sh))
SCRIPTS  := $(call matching,$(SCRIPTS))
BENCHES  := $(BENCH_C:%.c=$(BUILD)/%)
ALL_C    := $(SOURCES) $(TEST_ALL) $(wildcard tests/fuzz/*.c) $(CUDA_TEST_C) $(CUDA_AID_C) \
    $(FAKE_C) $(BENCH_C) $(CLUSTER_C)
FORMATS  := $(filter-out build/% data/% results/%, \
    $(wildcard *.[ch] */*.[ch] */*/*.[ch] */*/*/*.[ch]))
COUNT     = env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc # cores, whatever threads may have
JOBS      = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell $(COUNT)))

.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
.PHONY: all help run test check soak fuzz fuzzers coverage asan tsan check-threads bench parity \
    gpu readme test-hosts test-slurm test-openmpi check-openmpi lint format format-check man \
    same-flags install uninstall clean nbsgd FORCE
.SECONDARY:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

all: nbsgd compile_commands.json ## build ./nbsgd

help: ## this list
	@echo "make TARGET [SETTING=VALUE ...]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16
	@echo "Settings:"
	@sed -n 's/^#:/ /p' Makefile
#: MODE=release             debug, asan, tsan, fuzz or coverage: built side by side in build/MODE
#: ARCH=-march=native       compile for this machine's CPU
#: ONEDNN=0 OPENBLAS=0      leave a backend out
#: JPEG=0 PNG=0             leave a format of images out
#: ONEDNN_DIR=DIR           take oneDNN from DIR/include and DIR/lib
#: CUDA=1                   with the backend cudnn (CUDA_HOME, CUDA_ARCH=90)
#: MPICC=mpicc              the MPI to build with, and MPIRUN=mpirun to start by
#: PREFIX=/usr/local        where `make install` puts things, below DESTDIR
#: HARDEN=0                 without stack protector, fortified calls, PIE
#: CPPFLAGS, CFLAGS         yours, after all others; also CC, LDFLAGS
#: V=1                      show the commands

# ------------------------------------------------ building
nbsgd: $(BUILD)/nbsgd
	@ln -sfn $(BUILD)/nbsgd $@

$(BUILD)/nbsgd: $(CORE) $(BUILD)/main.o
	@echo '  link $@'
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIBS)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_AID) $(CORE)
	@echo '  link $@'
	$(Q)$(LINK) -o $@ $(filter %.o,$^) -lcmocka $(LIBS)

$(CUDA_TEST_C:%.c=$(BUILD)/%): $(BUILD)/%: $(BUILD)/%.o $(call objects,$(CUDA_AID_C)) \
        $(TEST_AID) $(CORE)
	@echo '  link $@'
	$(Q)$(LINK) -o $@ $(filter %.o,$^) -lcmocka $(LIBS)

# A harness goes on where the program would exit.
WRAPPED   := -Wl,--wrap=exit,--wrap=fopen,--wrap=fdopen,--wrap=fmemopen \
    -Wl,--wrap=open_memstream,--wrap=fclose
FUZZ_MAIN := $(if $(filter fuzz coverage,$(MODE)),,tests/fuzz/driver.c)
FUZZ_WITH := $(call objects,$(filter-out tests/fuzz/driver.c,$(FUZZ_AID)) $(FUZZ_MAIN) \
    tests/small_weights.c tests/idx_files.c $(filter tests/image_files.c,$(TEST_ALL)))
$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(FUZZ_WITH) $(CORE)
	@echo '  link $@'
	$(Q)$(LINK) $(if $(FUZZ_MAIN),,-fsanitize=fuzzer) $(WRAPPED) -o $@ $(filter %.o,$^) $(LIBS)

REPLACED := $(CUDA_O) $(patsubst tests/cuda/emulate/%.c,$(BUILD)/backend/cudnn/%.o,$(FAKE_C)) \
    $(BUILD)/collective/nccl/library.o
$(EMULATED_C:%.c=$(BUILD)/%_emulated): $(BUILD)/%_emulated: $(BUILD)/%.o \
        $(call objects,$(CUDA_AID_C)) $(TEST_AID) $(EMULATED_O) $(filter-out $(REPLACED),$(CORE))
	@echo '  link $@'
	$(Q)$(LINK) -o $@ $(filter %.o,$^) -lcmocka $(LIBS)

# The check of a new cluster (test.s) must build where little else does: it needs MPI and hwloc,
# and of the project only what needs nothing else.
MESSAGES := base/latch.c base/vector.c \
    $(filter-out messaging/worlds.c messaging/mpi/world.c messaging/sim/%, \
    $(wildcard messaging/*.c messaging/*/*.c))
$(BUILD)/cluster: $(call objects,$(CLUSTER_C) base/alloc.c base/check.c base/cores.c $(MESSAGES))
	@echo '  link $@'
	$(Q)$(LINK) -o $@ $(filter %.o,$^) -lhwloc -lm

# Preloaded, it fails or kills a program at its K-th change of a file (tests/faulty_files.h).
$(BUILD)/tests/faulty_files.so: tests/faulty_files.c tests/faulty_files.h $(BUILD)/flags
	@mkdir -p $(@D)
	@echo '  link $@'
	$(Q)$(CC) -std=gnu11 -O2 -g -fPIC -shared $(WARN) -I. -o $@ $<

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(CORE)
	@echo '  link $@'
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIBS)

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo '  cc   $<'
	$(Q)$(COMPILE) $(EXTRA) -MMD -MP -c $< -o $@

$(BUILD)/%.cu.o: %.cu $(BUILD)/flags
	@mkdir -p $(@D)
	@echo '  nvcc $<'
	$(Q)$(COMPILE_CU) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

$(BUILD)/emulated/%.o: %.cu $(BUILD)/flags
	@mkdir -p $(@D)
	@echo '  c++  $<'
	$(Q)$(COMPILE_EMULATED) -MMD -MP -c $< -o $@

# Objects that hold a text of this build are made anew when that text changes.
STAMPED := $(call objects,$(shell grep -lw COMMIT $(SOURCES)))
$(STAMPED): EXTRA = -DVERSION='"$(VERSION)"' -DCOMMIT='"$(or $(COMMIT),unknown)"'
$(STAMPED): $(BUILD)/commit
$(BUILD)/base/paths.o: EXTRA = -DDATADIR='"$(DATADIR)"'
$(BUILD)/base/paths.o: $(BUILD)/datadir
# Vectors wider than any register are passed among its own functions alone.
$(BUILD)/tests/avx512.o $(BUILD)/tests/amx.o: EXTRA = -Wno-psabi
# Loops unrolled in many copies, which few machines run: with every check inlined gcc would spend a
# third of all its time on these files.
ifeq ($(MODE),asan)
$(addprefix $(BUILD)/backend/onednn/,tile_avx512.o kernels_f32.o kernels_bf16.o): \
    EXTRA = -O2
# The plain loops are most of what the tests compute.
$(BUILD)/backend/ref/ref.o $(BUILD)/tests/double.o: EXTRA = -O2
endif

# The loader chooses among versions of a loop (target_clones) before ThreadSanitizer is there. The
# backends have no threads but OpenMP's, whose barriers it does not see.
ifeq ($(MODE),tsan)
$(BUILD)/backend/%.o: EXTRA = -fno-sanitize=thread
endif

# Files that change only when their text does: what depends on them is rebuilt then, and only then.
keep = mkdir -p $(@D) && if [ "$$(cat $@ 2>/dev/null)" != '$(1)' ]; then echo '$(1)' >$@; fi

FLAGS = $(COMPILE) $(COMPILE_CU) $(COMPILE_EMULATED) $(LINK) $(LIBS)

# Is all that is built, built with these settings? tests/install.sh asks.
same-flags:
	@[ "$$(cat $(BUILD)/flags 2>/dev/null)" = '$(FLAGS)' ]

$(BUILD)/flags: FORCE
	@command -v $(MPICC) >/dev/null || \
	    { echo "make: no $(MPICC) here; \`./install.sh run\` installs it (or MPICC=...)" >&2; exit 2; }
ifneq ($(ONEDNN_DIR),)
	@test -e $(ONEDNN_DIR)/include/dnnl.h || { echo "make: no include/dnnl.h in" \
	    "ONEDNN_DIR=$(ONEDNN_DIR)" >&2; exit 2; }
endif
ifeq ($(CUDA),1)
	@test -x $(NVCC) || { echo "make: CUDA=1, but no $(NVCC) here; \`./install.sh cuda\` says" \
	    "what to install (or CUDA_HOME=...)" >&2; exit 2; }
endif
	@$(call keep,$(FLAGS))

$(BUILD)/commit: FORCE
	@$(call keep,$(VERSION) $(COMMIT))

$(BUILD)/datadir: FORCE
	@$(call keep,$(DATADIR))

compile_commands.json: FORCE
	@{ between='['; for f in $(ALL_C); do \
	    printf '%s\n{"directory": "%s", "file": "%s", "command": "%s -c %s"}' \
	        "$$between" '$(CURDIR)' $$f '$(COMPILE)' $$f; between=,; \
	done; printf '\n]\n'; } >$@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@

-include $(wildcard $(addsuffix *.d,$(BUILD)/ \
    $(sort $(dir $(call objects,$(ALL_C)) $(CUDA_O) $(EMULATED_O)))))

# ------------------------------------------------ running and testing
run: ## install, build, compare nbssgd, ssgd and asgd with one slow worker (RUN_ARGS=...)
	@./install.sh run
	@$(MAKE) $(JOBS) nbsgd
	@MPIRUN="$(MPIRUN)" experiments/compare.sh $(RUN_ARGS)

test: ## install what is missing, build, pass all tests (T=part of a name; DATA=folder of CIFAR-10)
	@./install.sh test
	@$(MAKE) $(JOBS) check

CHECKED := $(BUILD)/nbsgd $(BUILD)/cluster $(BUILD)/bench/step $(BUILD)/tests/faulty_files.so \
    $(if $(filter tests/fuzz.sh,$(SCRIPTS)),$(FUZZERS))
check: $(CHECKED) $(TESTS) ## the tests alone
	@BUILD=$(BUILD) MPIRUN="$(MPIRUN)" tests/run $(TESTS) $(SCRIPTS)

SOAK_SEEDS := 12000
SOAK_KILLS := 200
SOAK_FILES := 400
SOAKED     := $(BUILD)/nbsgd $(BUILD)/tests/test_soak $(BUILD)/tests/faulty_files.so
soak: $(SOAKED) ## faults by seed, kills: minutes
	@SOAK_SEEDS=$(SOAK_SEEDS) SOAK_KILLS=$(SOAK_KILLS) SOAK_FILES=$(SOAK_FILES) \
	    SOAK_JOBS="$$($(COUNT))" TEST_TIMEOUT=7200 PARALLEL=1 BUILD=$(BUILD) MPIRUN="$(MPIRUN)" \
	    tests/run $(BUILD)/tests/test_soak tests/soak_files.sh tests/soak_mpi.sh tests/crash.sh

FUZZ_S := 60
CLANG  := clang
fuzz: ## libFuzzer on each reader for FUZZ_S=60 seconds; without clang, mutations of the corpus
	@./install.sh fuzz
	@if command -v $(CLANG) >/dev/null; then \
	    $(MAKE) -s $(JOBS) MODE=fuzz CC=$(CLANG) ONEDNN=0 OPENBLAS=0 CUDA=0 fuzzers && \
	    tests/fuzz/run $(FUZZ_S); \
	else $(MAKE) -s $(JOBS) MODE=asan CUDA=0 fuzzers && \
	    MUTATIONS=$$(($(FUZZ_S) * 300)) BUILD=build/asan tests/fuzz.sh; fi

fuzzers: $(FUZZERS)

coverage: ## lines of each reader that `make fuzz` has reached, with what it has kept in build/fuzz
	@./install.sh fuzz
	@$(MAKE) -s $(JOBS) MODE=coverage CC=$(CLANG) ONEDNN=0 OPENBLAS=0 CUDA=0 fuzzers
	@tests/fuzz/coverage

asan: ## all tests under the address and undefined-behaviour sanitizers
	@./install.sh test
	@$(MAKE) $(JOBS) MODE=asan check

tsan: ## what has threads of its own, under the thread sanitizer
	@./install.sh test
	@$(MAKE) $(JOBS) MODE=tsan CUDA=0 check-threads

check-threads: $(BUILD)/nbsgd $(addprefix $(BUILD)/tests/, \
        test_loader test_prefetch test_thread_pool mpi_messaging)
	@BUILD=$(BUILD) MPIRUN="$(MPIRUN)" tests/run tests/threads.sh

test-slurm: ## run.s, test.s on a one-node Slurm (root; LIMITS=1: real time limits, 5 minutes)
	@./install.sh run
	@$(MAKE) -s $(JOBS) nbsgd $(BUILD)/cluster
	@BUILD=$(BUILD) LIMITS=$(LIMITS) tests/run tests/slurm.sh

test-hosts: $(BUILD)/nbsgd $(TESTS) ## several hosts on this machine, by network namespaces (root)
	@BUILD=$(BUILD) MPIRUN="$(MPIRUN)" tests/run tests/hosts.sh

OPENMPI = MPICC=mpicc.openmpi MPIRUN=mpirun.openmpi BUILD=build/openmpi CUDA=0
test-openmpi: ## Open MPI beside MPICH: the MPI tests, three schemes (./install.sh openmpi)
	@if ! command -v mpicc.openmpi mpirun.openmpi >/dev/null; then \
	    echo "SKIPPED: no mpicc.openmpi here; ./install.sh openmpi brings it"; \
	    echo "0 passed, 0 failed, 1 skipped"; exit; fi; \
	$(MAKE) $(JOBS) $(OPENMPI) check-openmpi

MPI_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/mpi_*.c))
check-openmpi: $(BUILD)/nbsgd $(MPI_TESTS)
	@BUILD=$(BUILD) MPIRUN="$(MPIRUN)" tests/run $(MPI_TESTS) tests/openmpi.sh

GPU_TESTS := $(CUDA_TEST_C:%.c=$(BUILD)/%) $(BUILD)/tests/test_backends
gpu: nbsgd $(BUILD)/bench/step $(GPU_TESTS) ## with CUDA=1: all that bench/gpu.sh runs

bench: ## speed, beside the newest PyTorch (BENCH=quick|full; OUT=folder for the rows)
	@./install.sh run bench
	@$(MAKE) -s $(JOBS) nbsgd $(BENCHES)
	@BUILD=$(BUILD) MPIRUN="$(MPIRUN)" bench/run

parity: nbsgd ## accuracy beside PyTorch's: an hour (PYTHON=, DATA=; OUT=folder for the rows)
	@bench/parity $(OUT)

# ------------------------------------------------ style
SHELLS = $(sort $(shell grep -rlE '^$(HASH)!.*bash|^$(HASH) shellcheck shell=bash' \
    --exclude-dir=build --exclude-dir=data --exclude-dir=.git --exclude-dir=results \
    --exclude=*.md .))

lint: compile_commands.json ## cppcheck and shellcheck must be clean; clang-tidy advises (TIDY=none)
	@for tool in cppcheck shellcheck; do command -v $$tool >/dev/null || \
	    { echo "lint: no $$tool here; \`./install.sh check\` installs it" >&2; exit 2; }; done
	cppcheck --quiet -j "$$($(COUNT))" --std=c11 --enable=warning,performance,portability \
	    --inline-suppr --error-exitcode=1 --suppressions-list=tests/cppcheck.txt -I. \
	    '-D_Noreturn=__attribute__((noreturn))' $(filter -D%,$(DEFINES)) $(ALL_C)
	shellcheck $(SHELLS)
	@if command -v $(TIDY) >/dev/null; then \
	    printf '%s\n' $(ALL_C) | xargs -P "$$($(COUNT))" -n 1 \
	        $(TIDY) --quiet -p . 2>/dev/null; \
	else echo "lint: no $(TIDY) here"; fi

format: ## clang-format on every source
	clang-format -i $(FORMATS)

format-check: ## says what clang-format would change
	@tests/house.sh format

readme: nbsgd ## bring the tables of schemes in README and docs/schemes.md up to date
	@awk 'FNR == 1 { file = FILENAME ".new"; skip = 0 } \
	    /^<!-- end of the table/ { skip = 0 } !skip { print >file } \
	    /^<!-- the table of schemes/ { skip = 1; close("./nbsgd --print-schemes"); \
	        while (("./nbsgd --print-schemes" | getline line) > 0 && \
	            (line || FILENAME != "README.md")) print line >file }' README.md docs/schemes.md
	@for file in README.md docs/schemes.md; do mv $$file.new $$file; done

# ------------------------------------------------ installing
SHARE := $(BUILD)/share

man: $(SHARE)/nbsgd.1 $(SHARE)/nbsgd.bash ## the man page and bash completion, in build/MODE/share

$(SHARE)/nbsgd.1: share/man.sh $(BUILD)/nbsgd
	@mkdir -p $(@D)
	$(Q)share/man.sh $(BUILD)/nbsgd $(VERSION) $(DATADIR) >$@

$(SHARE)/nbsgd.bash: share/completion.sh $(BUILD)/nbsgd
	@mkdir -p $(@D)
	$(Q)share/completion.sh $(BUILD)/nbsgd >$@

install: $(BUILD)/nbsgd man ## program, plots, experiments, man page, completion (PREFIX, DESTDIR)
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin $(INSTALL_DIRS))
	install -m 755 $(BUILD)/nbsgd $(DESTDIR)$(PREFIX)/bin/nbsgd
	install -m 644 plots/*.gp plots/*.awk $(DESTDIR)$(DATADIR)/plots
	install -m 644 experiments/*.ini $(DESTDIR)$(DATADIR)/experiments
	install -m 755 launch/*.sh $(DESTDIR)$(DATADIR)/launch
	install -m 644 $(SHARE)/nbsgd.1 $(DESTDIR)$(PREFIX)/share/man/man1/nbsgd.1
	install -m 644 $(SHARE)/nbsgd.bash $(DESTDIR)$(PREFIX)/$(COMPLETIONS)/nbsgd
	install -m 644 LICENSE README.md CHANGELOG.md CITATION.cff $(DESTDIR)$(PREFIX)/share/doc/nbsgd

COMPLETIONS  := share/bash-completion/completions
INSTALL_DIRS := share/nbsgd/plots share/nbsgd/experiments share/nbsgd/launch share/man/man1 \
    share/doc/nbsgd $(COMPLETIONS)

uninstall: ## removes what `make install` put there
	rm -rf $(DESTDIR)$(DATADIR) $(DESTDIR)$(PREFIX)/share/doc/nbsgd
	rm -f $(DESTDIR)$(PREFIX)/bin/nbsgd $(DESTDIR)$(PREFIX)/share/man/man1/nbsgd.1 \
	    $(DESTDIR)$(PREFIX)/$(COMPLETIONS)/nbsgd

clean: ## remove what was built
	rm -rf build nbsgd compile_commands.json
