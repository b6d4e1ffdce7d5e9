#include "textflag.h"

// onStop is a signal handler: R0 signal, R1 siginfo, R2 context. It writes the siginfo to stopPipe and returns. It
// touches nothing of Go: it may run at any moment, on the signal stack of any thread.
TEXT ·onStop(SB), NOSPLIT|NOFRAME, $0
	MOVD ·stopPipe(SB), R0
	MOVD $128, R2 // the size of a siginfo
	MOVD $64, R8  // write
	SVC
	RET

// onFault is a signal handler too. What the kernel itself sends (si_code above 0) is the Go runtime's to handle; what a
// process sends is nothing.
TEXT ·onFault(SB), NOSPLIT|NOFRAME, $0
	MOVW 8(R1), R3
	CMPW $0, R3
	BGT  pass
	RET

pass:
	MOVD ·goHandler(SB), R4
	JMP  (R4)

// func handlers() (stop, fault, restorer uintptr)
// The kernel of arm64 ends a handler by itself, so there is no restorer.
TEXT ·handlers(SB), NOSPLIT, $0-24
	MOVD $·onStop(SB), R0
	MOVD R0, stop+0(FP)
	MOVD $·onFault(SB), R0
	MOVD R0, fault+8(FP)
	MOVD ZR, restorer+16(FP)
	RET
