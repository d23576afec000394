"""System calls by name: their numbers here, and which of them a program may make freely.

What is not named here is refused: above all `ptrace`, `process_vm_*`, `execve`, `fork`, `socket`,
`connect`, `mount`, `unshare`, `setns`, `keyctl`, `bpf`, `perf_event_open`, `userfaultfd`,
`io_uring_*`, `kexec_*`, `pidfd_*`, `memfd_create`, `shmget` and their kin.
"""

import platform

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # as the kernel names them in filters

_COLUMNS = {"x86_64": 0, "aarch64": 1}  # name=x86_64/aarch64, `-` where there is none

_FREE = """
# files, within what is visible
access=21/- chdir=80/49 close=3/57 close_range=436/436 copy_file_range=326/285
creat=85/- dup=32/23 dup2=33/- dup3=292/24 faccessat=269/48 faccessat2=439/439 fadvise64=221/223
fallocate=285/47 fchdir=81/50 fcntl=72/25 fdatasync=75/83
fgetxattr=193/10 flistxattr=196/13 flock=73/32 fstat=5/80 fstatfs=138/44 fsync=74/82
ftruncate=77/46 getcwd=79/17 getdents=78/- getdents64=217/61 getxattr=191/8 lgetxattr=192/9
link=86/- linkat=265/37 listxattr=194/11 llistxattr=195/12 lseek=8/62 lstat=6/- mkdir=83/-
mkdirat=258/34 newfstatat=262/79 open=2/- openat=257/56 pipe=22/- pipe2=293/59 pread64=17/67
preadv=295/69 preadv2=327/286 pwrite64=18/68 pwritev=296/70 pwritev2=328/287 read=0/63
readlink=89/- readlinkat=267/78 readv=19/65 rename=82/- renameat=264/38 renameat2=316/276
rmdir=84/- sendfile=40/71 stat=4/- statfs=137/43 statx=332/291 symlink=88/- symlinkat=266/36
umask=95/166 unlink=87/- unlinkat=263/35
write=1/64 writev=20/66
# memory
brk=12/214 madvise=28/233 membarrier=324/283 mincore=27/232 mmap=9/222 mprotect=10/226
mremap=25/216 msync=26/227 munmap=11/215
# threads
arch_prctl=158/- exit=60/93 exit_group=231/94 futex=202/98 futex_waitv=449/449
get_robust_list=274/100 getcpu=309/168 gettid=186/178 rseq=334/293
sched_get_priority_max=146/125 sched_get_priority_min=147/126 sched_getaffinity=204/123
sched_getparam=143/121 sched_getscheduler=145/120 sched_setaffinity=203/122 sched_yield=24/124
set_robust_list=273/99 set_tid_address=218/96
# time
alarm=37/- clock_getres=229/114 clock_gettime=228/113 clock_nanosleep=230/115 getitimer=36/102
gettimeofday=96/169 nanosleep=35/101 setitimer=38/103 time=201/- timerfd_create=283/85
timerfd_gettime=287/87 timerfd_settime=286/86 times=100/153
# waiting
epoll_create=213/- epoll_create1=291/20 epoll_ctl=233/21 epoll_pwait=281/22 epoll_pwait2=441/441
epoll_wait=232/- eventfd=284/- eventfd2=290/19 pause=34/- poll=7/- ppoll=271/73 pselect6=270/72
select=23/-
# signals and ends
restart_syscall=219/128 rt_sigaction=13/134 rt_sigpending=127/136 rt_sigprocmask=14/135
rt_sigreturn=15/139 rt_sigsuspend=130/133 rt_sigtimedwait=128/137 sigaltstack=131/132
wait4=61/260 waitid=247/95
# itself and the machine
getegid=108/177 geteuid=107/175 getgid=104/176 getgroups=115/158 getpgid=121/155 getpgrp=111/-
getpid=39/172 getppid=110/173 getpriority=140/141 getrandom=318/278 getresgid=120/150
getresuid=118/148 getrlimit=97/163 getrusage=98/165 getsid=124/156 getuid=102/174 sysinfo=99/179
uname=63/160
# the connection to the worker, and pairs of sockets
getpeername=52/205 getsockname=51/204 getsockopt=55/209 recvfrom=45/207 shutdown=48/210
"""

# What Landlock does not keep from files that a process does not see otherwise.
_ATTRIBUTES = """
chmod=90/- fchmod=91/52 fchmodat=268/53 utime=132/- utimensat=280/88
utimes=235/- truncate=76/45
"""

_BY_ARGUMENTS = """
clone=56/220 clone3=435/435 ioctl=16/29 kill=62/129 prctl=157/167 prlimit64=302/261
sendto=44/206 setrlimit=160/164 socketpair=53/199 tgkill=234/131
"""

_OUR_OWN = """
capset=126/91 landlock_create_ruleset=444/444 landlock_add_rule=445/445
landlock_restrict_self=446/446 mount_setattr=442/442 pivot_root=155/41 seccomp=317/277
"""


def _numbers(text: str) -> dict[str, int]:
    """What *text* says for this machine; nothing where it is of another kind."""
    column = _COLUMNS.get(platform.machine())
    if column is None:
        return {}
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    entries = (entry.partition("=") for line in lines for entry in line.split())
    found = ((name, numbers.split("/")[column]) for name, _, numbers in entries)
    return {name: int(number) for name, number in found if number != "-"}


FREE = frozenset(_numbers(_FREE).values())  # to be made with whatever arguments
ATTRIBUTES = frozenset(_numbers(_ATTRIBUTES).values())  # … where no files of the host are there
CHECKED = _numbers(_BY_ARGUMENTS)  # to be made with some arguments only
OWN = _numbers(_OUR_OWN)  # made by what builds the sandbox, before it is closed
