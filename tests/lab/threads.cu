// Races between threads: barriers, named barriers, warps, atomics, fences.
#include "pairs.h"

KERNEL(shared_increment)(float* out) {  // gives the right sum in the emulator, which runs one thread after another
    __shared__ int count;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    if (GOOD) atomicAdd(&count, 1);
    else count++;  // RACE shared_increment
    __syncthreads();
    out[threadIdx.x] = float(count);
}
PAIR(shared_increment, 1, 64, 0)

KERNEL(global_increment)(float* out) {
    if (GOOD) atomicAdd(&out[blockIdx.x], 1.0f);
    else out[blockIdx.x] = out[blockIdx.x] + 1;  // RACE global_increment
}
PAIR(global_increment, 2, 64, 0)

KERNEL(read_after_write)(float* out) {
    __shared__ float values[64];
    const int t = int(threadIdx.x);
    values[t] = float(t);  // RACE read_after_write
    if (GOOD) __syncthreads();
    out[t] = values[63 - t];  // RACE read_after_write
}
PAIR(read_after_write, 1, 64, 0)

KERNEL(write_after_read)(float* out) {
    __shared__ float values[64];
    const int t = int(threadIdx.x);
    values[t] = float(t);
    __syncthreads();
    const float other = values[63 - t];  // RACE write_after_read
    if (GOOD) __syncthreads();
    values[t] = other;  // RACE write_after_read
    __syncthreads();
    out[t] = values[t];
}
PAIR(write_after_read, 1, 64, 0)

KERNEL(write_after_write)(float* out) {
    __shared__ float values[64];
    const int t = int(threadIdx.x);
    values[GOOD ? t : t / 2] = float(t);  // RACE write_after_write
    __syncthreads();
    out[t] = values[t / 2];
}
PAIR(write_after_write, 1, 64, 0)

KERNEL(global_exchange)(float* out) {
    const int t = int(threadIdx.x);
    float* mine = out + blockIdx.x * 64;
    mine[t] = float(t);  // RACE global_exchange
    if (GOOD) __syncthreads();
    const float other = mine[t ^ 32];  // RACE global_exchange
    __syncthreads();
    mine[t] = other;
}
PAIR(global_exchange, 3, 64, 0)

KERNEL(warp_exchange)(float* out) {
    __shared__ float values[64];
    const int t = int(threadIdx.x);
    values[t] = float(t);  // RACE warp_exchange
    if (GOOD) __syncwarp();
    else __shfl_sync(~0u, t, 0);  // meets, but orders no memory
    out[t] = values[t ^ 1];  // RACE warp_exchange
}
PAIR(warp_exchange, 1, 64, 0)

KERNEL(half_warp_exchange)(float* out) {  // a barrier of the lower lanes says nothing about the upper ones
    __shared__ float values[32];
    const int t = int(threadIdx.x);
    values[t] = float(t);  // RACE half_warp_exchange
    __syncwarp(GOOD ? 0xffffffffu : t < 16 ? 0x0000ffffu : 0xffff0000u);
    out[t] = values[t ^ 16];  // RACE half_warp_exchange
}
PAIR(half_warp_exchange, 1, 32, 0)

KERNEL(named_barrier)(float* out) {  // warp 0 produces and goes on, warp 1 consumes
    __shared__ float values[32];
    const int t = int(threadIdx.x);
    if (t < 32) {
        if (GOOD) values[t] = float(t);
        emu::arrive_named(1, 64, emu::Site::current());
        if (!GOOD) values[t] = float(t);  // RACE named_barrier
    } else {
        emu::sync_named(1, 64, emu::Site::current());
        out[t] = values[63 - t];  // RACE named_barrier
    }
}
PAIR(named_barrier, 1, 64, 0)

KERNEL(named_barrier_reuse)(float* out) {  // bar.arrive does not make the producer wait for its readers
    __shared__ float values[32];
    const int t = int(threadIdx.x);
    if (t < 32) {
        values[t] = float(t);
        emu::arrive_named(1, 64, emu::Site::current());
        if (GOOD) emu::sync_named(2, 64, emu::Site::current());
        values[t] = 0;  // RACE named_barrier_reuse
    } else {
        emu::sync_named(1, 64, emu::Site::current());
        out[t] = values[63 - t];  // RACE named_barrier_reuse
        if (GOOD) emu::arrive_named(2, 64, emu::Site::current());
    }
}
PAIR(named_barrier_reuse, 1, 64, 0)

KERNEL(atomic_and_plain)(float* out) {
    __shared__ int sum;
    if (threadIdx.x == 0) sum = 0;
    __syncthreads();
    atomicAdd(&sum, 2);  // RACE atomic_and_plain
    if (GOOD) __syncthreads();
    out[threadIdx.x] = float(sum);  // RACE atomic_and_plain
}
PAIR(atomic_and_plain, 1, 64, 0)

KERNEL(bytes)(float* out) {  // neighbours in a word do not race; those that overlap do
    __shared__ unsigned char small[64];
    __shared__ unsigned short pairs[64];
    const int t = int(threadIdx.x);
    small[t] = (unsigned char)(t);
    pairs[GOOD ? t : t / 2] = (unsigned short)(t);  // RACE bytes
    __syncthreads();
    out[t] = float(small[63 - t]) + float(pairs[t / 2]);
}
PAIR(bytes, 1, 64, 0)

KERNEL(uninitialised)(float* out) {
    __shared__ float values[64];
    const int t = int(threadIdx.x);
    if (GOOD || t != 7) values[t] = float(t);
    __syncthreads();
    out[blockIdx.x * 64 + t] = values[t];  // RACE uninitialised
}
PAIR(uninitialised, 2, 64, 0)

KERNEL(last_block_adds)(float* out) {  // out[0] counts, out[64 ...] are parts, the last block to come adds them up
    __shared__ bool last;
    const int t = int(threadIdx.x), parts = int(gridDim.x);
    float* const part = out + 64 + blockIdx.x * 32;
    part[t] = float(t);  // RACE last_block_adds
    __syncthreads();
    if (t == 0) {
        if (GOOD) __threadfence();
        last = atomicAdd(out, 1.0f) == float(parts - 1);
        if (GOOD) __threadfence();
    }
    __syncthreads();
    if (!last) return;
    float sum = 0;
    for (int i = 0; i < parts; ++i) sum += out[64 + i * 32 + t];  // RACE last_block_adds
    out[32 + t] = sum;
}
PAIR(last_block_adds, 4, 32, 0)

KERNEL(last_block_half_fenced)(float* out) {  // published, but not learned
    __shared__ bool last;
    const int t = int(threadIdx.x), parts = int(gridDim.x);
    out[64 + blockIdx.x * 32 + t] = float(t);  // RACE last_block_half_fenced
    __syncthreads();
    if (t == 0) {
        __threadfence();
        last = atomicAdd(out, 1.0f) == float(parts - 1);
        if (GOOD) __threadfence();
        else __threadfence_block();
    }
    __syncthreads();
    if (!last) return;
    float sum = 0;
    for (int i = 0; i < parts; ++i) sum += out[64 + i * 32 + t];  // RACE last_block_half_fenced
    out[32 + t] = sum;
}
PAIR(last_block_half_fenced, 4, 32, 0)

KERNEL(message_in_a_block)(float* out) {  // through a fence and an atomic, without a barrier
    __shared__ float value;
    __shared__ int flag;
    const int t = int(threadIdx.x);
    if (t == 0) flag = 0;
    __syncthreads();
    if (t == 0) {
        value = 3;  // RACE message_in_a_block
        if (GOOD) __threadfence_block();
        atomicExch(&flag, 1);
    }
    __shfl_sync(~0u, t, 0);  // so that lane 1 comes later; orders no memory
    if (t == 1 && atomicAdd(&flag, 0) == 1) {
        if (GOOD) __threadfence_block();
        out[0] = value;  // RACE message_in_a_block
    }
}
PAIR(message_in_a_block, 1, 32, 0)

KERNEL(blocks_overlap)(float* out) {
    out[blockIdx.x * (GOOD ? 64 : 32) + threadIdx.x] = 1;  // RACE blocks_overlap
}
PAIR(blocks_overlap, 3, 64, 0)

KERNEL(returned_threads)(float* out) {  // who has returned counts as arrived at the barrier
    __shared__ float values[64];
    const int t = int(threadIdx.x);
    values[t] = float(t);  // RACE returned_threads
    if (t >= 32) return;
    if (GOOD) __syncthreads();
    else __syncwarp();
    out[t] = values[t + 32];  // RACE returned_threads
}
PAIR(returned_threads, 1, 64, 0)
