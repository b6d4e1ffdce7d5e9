#include "textflag.h"

// onStop is a signal handler: DI signal, SI siginfo, DX context. It writes the siginfo to stopPipe and returns. It
// touches nothing of Go: it may run at any moment, on the signal stack of any thread.
TEXT ·onStop(SB), NOSPLIT|NOFRAME, $0
	MOVQ ·stopPipe(SB), DI
	MOVQ $128, DX // the size of a siginfo
	MOVQ $1, AX   // write
	SYSCALL
	RET

// onReturn ends a signal handler, as the C library does it.
TEXT ·onReturn(SB), NOSPLIT|NOFRAME, $0
	MOVQ $15, AX // rt_sigreturn
	SYSCALL
	INT  $3

// func handlers() (handler, restorer uintptr)
TEXT ·handlers(SB), NOSPLIT, $0-16
	LEAQ ·onStop(SB), AX
	MOVQ AX, handler+0(FP)
	LEAQ ·onReturn(SB), AX
	MOVQ AX, restorer+8(FP)
	RET
