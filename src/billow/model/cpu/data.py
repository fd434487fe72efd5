# SPDX-License-Identifier: Apache-2.0
"""CPU models and what they have. Made by labs/cpu-models/make.py; do not edit.

Source: QEMU 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1).
One model is `ARCH NAME [OTHER NAME..] = [NEAREST] [-less..] [+more..]`; an indented line goes on.
"""

from typing import Final

MODELS: Final = """\
x86_64 486-v1 486 = +fpu +pse +vme +x2apic
x86_64 pentium-v1 pentium = 486-v1 +apic +cx8 +de +intel +mce +mmx +msr +tsc
x86_64 qemu32-v1 qemu32 = pentium-v1 -intel -vme +cmov +fxsr +pae +pat +pge +pni +sep +sse +sse2
x86_64 pentium2-v1 pentium2 = qemu32-v1 -pni -sse -sse2 +intel +mca +mtrr +pse36 +vme
x86_64 pentium3-v1 pentium3 = pentium2-v1 +sse
x86_64 kvm32-v1 kvm32 = pentium3-v1 -intel +clflush +pni +sse2
x86_64 athlon-v1 athlon = pentium3-v1 -intel +3dnow +3dnowext +amd +mmxext +sse2
x86_64 coreduo-v1 coreduo = kvm32-v1 -pse36 +intel +nx +ss
x86_64 Opteron_G1-v1 Opteron_G1 = kvm32-v1 +amd +lm +nx +syscall
x86_64 kvm64-v1 kvm64 = Opteron_G1-v1 -amd +cx16
x86_64 qemu64-v1 qemu64 = kvm64-v1 -vme +lahf-lm
x86_64 n270-v1 n270 = coreduo-v1 +lahf-lm +movbe +ssse3
x86_64 Conroe-v1 Conroe = Opteron_G1-v1 -amd +intel +lahf-lm +ssse3
x86_64 Opteron_G2-v1 Opteron_G2 = Opteron_G1-v1 +cx16 +lahf-lm
x86_64 Penryn-v1 Penryn = Conroe-v1 +cx16 +sse4.1
x86_64 core2duo-v1 core2duo = Conroe-v1 +cx16 +ss
x86_64 Nehalem-v1 Nehalem = Penryn-v1 +popcnt +sse4.2
x86_64 Nehalem-v2 Nehalem-IBRS = Nehalem-v1 +spec-ctrl
x86_64 Opteron_G3-v1 Opteron_G3 = Opteron_G2-v1 +abm +misalignsse +popcnt +rdtscp +sse4a
x86_64 Westmere-v1 Westmere = Nehalem-v1 +aes +arat +pclmulqdq
x86_64 Westmere-v2 Westmere-IBRS = Westmere-v1 +spec-ctrl
x86_64 phenom-v1 phenom = Opteron_G3-v1 -misalignsse +3dnow +3dnowext +fxsr-opt +mmxext +pdpe1gb
x86_64 SandyBridge-v1 SandyBridge = Westmere-v1 +avx +rdtscp +tsc-deadline +xsave +xsaveopt
x86_64 SandyBridge-v2 SandyBridge-IBRS = SandyBridge-v1 +spec-ctrl
x86_64 Opteron_G4-v1 Opteron_G4 = Opteron_G3-v1 +3dnowprefetch +aes +avx +fma4 +pclmulqdq
  +pdpe1gb +sse4.1 +sse4.2 +ssse3 +xop +xsave
x86_64 IvyBridge-v1 IvyBridge = SandyBridge-v1 +erms +f16c +fsgsbase +rdrand +smep
x86_64 IvyBridge-v2 IvyBridge-IBRS = IvyBridge-v1 +spec-ctrl
x86_64 Opteron_G5-v1 Opteron_G5 = Opteron_G4-v1 +f16c +fma +tbm
x86_64 Haswell-v2 Haswell-noTSX = IvyBridge-v1 +abm +avx2 +bmi1 +bmi2 +fma +invpcid +movbe +pcid
x86_64 Haswell-v4 Haswell-noTSX-IBRS = Haswell-v2 +spec-ctrl
x86_64 Haswell-v1 Haswell = Haswell-v2 +hle +rtm
x86_64 Haswell-v3 Haswell-IBRS = Haswell-v1 +spec-ctrl
x86_64 Broadwell-v2 Broadwell-noTSX = Haswell-v2 +3dnowprefetch +adx +rdseed +smap
x86_64 Denverton-v2 = IvyBridge-v2 -avx -f16c +3dnowprefetch +arch-capabilities +clflushopt
  +movbe +pdpe1gb +rdctl-no +rdseed +sha-ni +skip-l1dfl-vmentry +smap +ssbd +xgetbv1 +xsavec
x86_64 Broadwell-v4 Broadwell-noTSX-IBRS = Broadwell-v2 +spec-ctrl
x86_64 Denverton-v1 Denverton = Denverton-v2 +mpx
x86_64 Denverton-v3 = Denverton-v2 +xsaves
x86_64 Broadwell-v1 Broadwell = Broadwell-v2 +hle +rtm
x86_64 Broadwell-v3 Broadwell-IBRS = Broadwell-v1 +spec-ctrl
x86_64 Skylake-Client-v3 Skylake-Client-noTSX-IBRS = Broadwell-v4 +xgetbv1 +xsavec
x86_64 Skylake-Client-v1 Skylake-Client = Broadwell-v1 +xgetbv1 +xsavec
x86_64 Skylake-Client-v4 = Skylake-Client-v3 +xsaves
x86_64 Dhyana-v1 Dhyana = Skylake-Client-v3 -aes -erms -intel -invpcid -pcid -pclmulqdq
  -spec-ctrl -tsc-deadline +clflushopt +cr8legacy +fxsr-opt +hygon +ibpb +misalignsse +mmxext
  +osvw +pdpe1gb +sse4a
x86_64 Skylake-Client-v2 Skylake-Client-IBRS = Skylake-Client-v1 +spec-ctrl
x86_64 Snowridge-v4 = Denverton-v3 -rdctl-no -skip-l1dfl-vmentry +cldemote +clwb +gfni +movdir64b
  +movdiri +umip
x86_64 Dhyana-v2 = Dhyana-v1 +xsaves
x86_64 KnightsMill-v1 KnightsMill = Broadwell-v2 -invpcid -pcid -smap +avx512-4fmaps
  +avx512-4vnniw +avx512-vpopcntdq +avx512cd +avx512er +avx512f +avx512pf +pdpe1gb +ss
x86_64 Snowridge-v2 = Snowridge-v4 -xsaves +core-capability +split-lock-detect
x86_64 EPYC-v1 EPYC = Dhyana-v1 -hygon -ibpb +aes +amd +pclmulqdq +sha-ni
x86_64 Snowridge-v1 Snowridge = Snowridge-v2 +mpx
x86_64 Snowridge-v3 = Snowridge-v2 +xsaves
x86_64 EPYC-v2 EPYC-IBPB = EPYC-v1 +ibpb
x86_64 Skylake-Server-v3 Skylake-Server-noTSX-IBRS = Skylake-Client-v3 +avx512bw +avx512cd
  +avx512dq +avx512f +avx512vl +clwb +pdpe1gb +pku
x86_64 Skylake-Server-v4 = Skylake-Server-v3
x86_64 EPYC-v3 = EPYC-v2 +clzero +perfctr-core +xsaveerptr +xsaves
x86_64 EPYC-v4 = EPYC-v3
x86_64 Skylake-Server-v5 = Skylake-Server-v3 +xsaves
x86_64 Skylake-Server-v1 Skylake-Server = Skylake-Server-v3 -spec-ctrl +clflushopt +hle +rtm
x86_64 Skylake-Server-v2 Skylake-Server-IBRS = Skylake-Server-v3 +hle +rtm
x86_64 Cascadelake-Server-v1 Cascadelake-Server = Skylake-Server-v1 +avx512vnni +spec-ctrl +ssbd
x86_64 EPYC-Rome-v1 EPYC-Rome = EPYC-v3 +amd-stibp +clwb +rdpid +umip +wbnoinvd
x86_64 EPYC-Rome-v4 = EPYC-Rome-v1 -xsaves +amd-ssbd +ibrs
x86_64 Cascadelake-Server-v3 Cascadelake-Server-noTSX = Cascadelake-Server-v1 -hle -rtm
  +arch-capabilities +ibrs-all +mds-no +rdctl-no +skip-l1dfl-vmentry
x86_64 Cascadelake-Server-v4 = Cascadelake-Server-v3
x86_64 EPYC-Rome-v2 = EPYC-Rome-v4 +xsaves
x86_64 EPYC-Rome-v3 = EPYC-Rome-v2
x86_64 Cascadelake-Server-v5 = Cascadelake-Server-v3 +xsaves
x86_64 Cascadelake-Server-v2 = Cascadelake-Server-v3 +hle +rtm
x86_64 YongFeng-v1 YongFeng = Broadwell-v4 -arat -erms -intel +ace2 +arch-capabilities +invtsc
  +mds-no +pdpe1gb +phe +phe-en +pku +pmm +pmm-en +pschange-mc-no +rdctl-no +rdpid +sha-ni
  +skip-l1dfl-vmentry +ss +ssb-no +umip +xcrypt +xcrypt-en +xstore +xstore-en +zhaoxin
x86_64 YongFeng-v2 = YongFeng-v1
x86_64 EPYC-Milan-v1 EPYC-Milan = EPYC-Rome-v2 +erms +fsrm +invpcid +pcid +pku
x86_64 Icelake-Server-v2 Icelake-Server-noTSX = Cascadelake-Server-v1 -hle -rtm +avx512-vpopcntdq
  +avx512bitalg +avx512vbmi +avx512vbmi2 +gfni +la57 +umip +vaes +vpclmulqdq +wbnoinvd
x86_64 Cooperlake-v1 Cooperlake = Cascadelake-Server-v2 +avx512-bf16 +pschange-mc-no +stibp
  +taa-no
x86_64 Cooperlake-v2 = Cooperlake-v1 +xsaves
x86_64 Icelake-Server-v1 Icelake-Server = Icelake-Server-v2 +hle +rtm
x86_64 EPYC-Milan-v2 = EPYC-Milan-v1 +amd-psfd +lfence-always-serializing +no-nested-data-bp
  +null-sel-clr-base +stibp-always-on +vaes +vpclmulqdq
x86_64 Icelake-Server-v3 = Icelake-Server-v2 +arch-capabilities +ibrs-all +mds-no +pschange-mc-no
  +rdctl-no +skip-l1dfl-vmentry +taa-no
x86_64 Icelake-Server-v4 = Icelake-Server-v3 +avx512ifma +fsrm +rdpid +sha-ni
x86_64 Icelake-Server-v5 = Icelake-Server-v4 +xsaves
x86_64 Icelake-Server-v6 = Icelake-Server-v5
x86_64 SierraForest-v1 SierraForest = Icelake-Server-v5 -avx512-vpopcntdq -avx512bitalg -avx512bw
  -avx512cd -avx512dq -avx512f -avx512ifma -avx512vbmi -avx512vbmi2 -avx512vl -avx512vnni -la57
  -taa-no +avx-ifma +avx-ne-convert +avx-vnni +avx-vnni-int8 +bus-lock-detect +cmpccxadd
  +fbsdp-no +fsrs +mcdt-no +pbrsb-no +psdp-no +sbdr-ssdp-no +serialize
x86_64 Icelake-Server-v7 = Icelake-Server-v5 +hle +rtm
x86_64 EPYC-Genoa-v1 EPYC-Genoa = EPYC-Milan-v2 +auto-ibrs +avx512-bf16 +avx512-vpopcntdq
  +avx512bitalg +avx512bw +avx512cd +avx512dq +avx512f +avx512ifma +avx512vbmi +avx512vbmi2
  +avx512vl +avx512vnni +gfni +la57
x86_64 SierraForest-v2 = SierraForest-v1 +bhi-ctrl +cldemote +gds-no +intel-psfd +ipred-ctrl +lam
  +movdir64b +movdiri +rfds-no +rrsba-ctrl +ss +tsc-adjust
x86_64 SapphireRapids-v1 SapphireRapids = Icelake-Server-v7 +amx-bf16 +amx-int8 +amx-tile
  +avx-vnni +avx512-bf16 +avx512-fp16 +bus-lock-detect +fsrc +fsrs +fzrm +serialize +tsx-ldtrk
  +xfd
x86_64 SapphireRapids-v2 = SapphireRapids-v1 +fbsdp-no +psdp-no +sbdr-ssdp-no
x86_64 ClearwaterForest-v1 ClearwaterForest = SierraForest-v2 +avx-vnni-int16 +bhi-no +ddpd-u
  +prefetchiti +sha512 +sm3 +sm4
x86_64 GraniteRapids-v1 GraniteRapids = SapphireRapids-v2 +amx-fp16 +mcdt-no +pbrsb-no
  +prefetchiti
x86_64 SapphireRapids-v3 = SapphireRapids-v2 +cldemote +movdir64b +movdiri +ss +tsc-adjust
x86_64 GraniteRapids-v2 = SapphireRapids-v3 +amx-fp16 +avx10 +avx10-128 +avx10-256 +avx10-512
  +mcdt-no +pbrsb-no +prefetchiti
aarch64 cortex-a53 = +aes +asimd +cpuid +crc32 +fp +pmull +sha1 +sha2
aarch64 cortex-a72 = cortex-a53
aarch64 a64fx = cortex-a53 +asimdhp +asimdrdm +atomics +dcpop +fcma +fphp +sve
aarch64 cortex-a76 = a64fx -fcma -sve +asimddp +lrcpc
aarch64 neoverse-n1 = cortex-a76
aarch64 neoverse-v1 = a64fx +asimddp +asimdfhm +bf16 +dcpodp +dit +flagm +i8mm +ilrcpc +jscvt
  +lrcpc +paca +pacg +rng +sha3 +sha512 +sm3 +sm4 +svebf16 +svei8mm +uscat
aarch64 cortex-a710 = neoverse-v1 -rng +bti +flagm2 +frint +mte +sb +sve2 +sveaes +svebitperm
  +svepmull +svesha3 +svesm4
aarch64 neoverse-n2 = cortex-a710 +rng
"""
