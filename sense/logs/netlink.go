// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const auditGroup = 1 // AUDIT_NLGRP_READLOG, include/uapi/linux/audit.h, 3.16

// auditTypes names the records that matter most; numbers from include/uapi/linux/audit.h
// and, below 1300 and above 2000, from the audit user space.
var auditTypes = map[uint16]string{
	1100: "USER_AUTH", 1101: "USER_ACCT", 1103: "CRED_ACQ", 1104: "CRED_DISP", 1105: "USER_START", 1106: "USER_END",
	1107: "USER_AVC", 1112: "USER_LOGIN", 1113: "USER_LOGOUT", 1114: "ADD_USER", 1115: "DEL_USER", 1116: "ADD_GROUP",
	1117: "DEL_GROUP", 1123: "USER_CMD", 1124: "USER_TTY", 1130: "SERVICE_START", 1131: "SERVICE_STOP",
	1300: "SYSCALL", 1302: "PATH", 1303: "IPC", 1304: "SOCKETCALL", 1305: "CONFIG_CHANGE", 1306: "SOCKADDR", 1307: "CWD",
	1309: "EXECVE", 1319: "TTY", 1320: "EOE", 1321: "BPRM_FCAPS", 1322: "CAPSET", 1323: "MMAP", 1325: "NETFILTER_CFG",
	1326: "SECCOMP", 1327: "PROCTITLE", 1330: "KERN_MODULE", 1334: "BPF", 1400: "AVC", 1700: "ANOM_PROMISCUOUS", 1701: "ANOM_ABEND",
}

// auditMulticast reads what the kernel's audit tells to everyone who may listen; auditd
// keeps its own. It needs CAP_AUDIT_READ and sees what the rules in force ask for.
func (s *Sensor) auditMulticast(ctx context.Context) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		return fmt.Errorf("audit messages: %w; this kernel has no audit (CONFIG_AUDIT)", err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (auditGroup - 1)}); err != nil {
		return fmt.Errorf("listen to audit messages: %w; give CAP_AUDIT_READ", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20) // a small buffer costs records, which are told
	tv := unix.NsecToTimeval(int64(200 * time.Millisecond))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return fmt.Errorf("listen to audit messages: %w", err)
	}
	buf := make([]byte, 64<<10)
	for ctx.Err() == nil {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			s.tellLost("audit", "the audit socket's buffer was full", 0)
			continue
		case err != nil:
			return fmt.Errorf("read audit messages: %w", err)
		}
		if nl, ok := from.(*unix.SockaddrNetlink); !ok || nl.Pid != 0 {
			continue // not from the kernel
		}
		s.auditMessage(buf[:n])
	}
	return nil
}

// auditMessage reads one netlink message: struct nlmsghdr and text. The length that the
// header states is not used: audit_log_end leaves the header's own length out of it.
func (s *Sensor) auditMessage(b []byte) {
	if len(b) < unix.NLMSG_HDRLEN {
		s.bad.Add(1)
		return
	}
	typ := native.Uint16(b[4:])
	name := auditTypes[typ]
	switch {
	case typ == 1320: // end of event
		return
	case name == "":
		name = "UNKNOWN[" + strconv.Itoa(int(typ)) + "]"
	}
	text := strings.TrimRight(clean(string(b[unix.NLMSG_HDRLEN:min(len(b), maxLine)])), "\x00\n")
	s.audit("netlink:audit", "type="+name+" msg="+text, time.Now())
}
