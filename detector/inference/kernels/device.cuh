// What the kernels share: loads, stores and half precision, without any header of the toolkit's, so that
// NVRTC alone can compile them. With -DHOST_SHIM the same sources are host C++ (tests/support/kernels).
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;  // also the bits of a half
typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef HOST_SHIM
#include "host_shim.h"
#else

__device__ __forceinline__ u16 half_bits(float value) {
  u16 bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

__device__ __forceinline__ float half_value(u16 bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

template <typename T>
__device__ __forceinline__ T load(const T* address) {
  return __ldg(address);
}

template <typename T>
__device__ __forceinline__ void store(T* address, T value) {
  *address = value;
}
#endif

__device__ __forceinline__ float as_float(float value) { return value; }
__device__ __forceinline__ float as_float(u16 bits) { return half_value(bits); }
