/* Stands before the compiler's own header of this name when llama.cpp is built; see ../config.toml.
 *
 * GCC 11 to 12.3 and 13.0 to 13.2 believe that loading a tile configuration reads 8 bytes. It reads 64, so they drop the
 * rest of what llama.cpp writes there, and the first product on a processor with AMX ends the process (SIGSEGV).
 * https://gcc.gnu.org/PR114098 */
#include_next <amxtileintrin.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg\t%X0" : : "m"(*(const char (*)[64])(config)))
#endif
