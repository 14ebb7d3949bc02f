/* The loops of kernels.inc over float32, for whatever machine. */
#define BF16 false
#define KERNEL CLONES
#define TABLE kernels_f32
#include "backend/onednn/kernels.inc"
