/* The loops of kernels.inc over float32, eight channels at a time: for machines whose vectors have
 * 32 bytes. */
#define VEC_LANES 8
#define BF16 false
#define KERNEL CLONES
#define TABLE kernels_f32_narrow
#include "backend/onednn/kernels.inc"
