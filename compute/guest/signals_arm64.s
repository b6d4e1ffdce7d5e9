#include "textflag.h"

// onStop is a signal handler: R0 signal, R1 siginfo, R2 context. It writes the siginfo to stopPipe and returns. It
// touches nothing of Go: it may run at any moment, on the signal stack of any thread.
TEXT ·onStop(SB), NOSPLIT|NOFRAME, $0
	MOVD ·stopPipe(SB), R0
	MOVD $128, R2 // the size of a siginfo
	MOVD $64, R8  // write
	SVC
	RET

// func handlers() (handler, restorer uintptr)
// The kernel of arm64 ends a handler by itself, so there is no restorer.
TEXT ·handlers(SB), NOSPLIT, $0-16
	MOVD $·onStop(SB), R0
	MOVD R0, handler+0(FP)
	MOVD ZR, restorer+8(FP)
	RET
