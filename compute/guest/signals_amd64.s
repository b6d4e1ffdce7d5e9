#include "textflag.h"

// onStop is a signal handler: DI signal, SI siginfo, DX context. It writes the siginfo to stopPipe and returns. It
// touches nothing of Go: it may run at any moment, on the signal stack of any thread.
TEXT ·onStop(SB), NOSPLIT|NOFRAME, $0
	MOVQ ·stopPipe(SB), DI
	MOVQ $128, DX // the size of a siginfo
	MOVQ $1, AX   // write
	SYSCALL
	RET

// onFault is a signal handler too. What the kernel itself sends (si_code above 0) is the Go runtime's to handle; what a
// process sends is nothing.
TEXT ·onFault(SB), NOSPLIT|NOFRAME, $0
	CMPL 8(SI), $0
	JGT  pass
	RET

pass:
	MOVQ ·goHandler(SB), AX
	JMP  AX

// onReturn ends a signal handler, as the C library does it.
TEXT ·onReturn(SB), NOSPLIT|NOFRAME, $0
	MOVQ $15, AX // rt_sigreturn
	SYSCALL
	INT  $3

// func handlers() (stop, fault, restorer uintptr)
TEXT ·handlers(SB), NOSPLIT, $0-24
	LEAQ ·onStop(SB), AX
	MOVQ AX, stop+0(FP)
	LEAQ ·onFault(SB), AX
	MOVQ AX, fault+8(FP)
	LEAQ ·onReturn(SB), AX
	MOVQ AX, restorer+16(FP)
	RET
