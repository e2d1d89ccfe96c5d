// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// netfilter asks both subsystems of the kernel's packet filter whether they are there.
func netfilter(context.Context, *Config) []Check {
	mend := "modprobe %s, and run as root or give CAP_NET_ADMIN"
	out := []Check{
		{Name: "kernel.nftables", State: OK, Mend: fmt.Sprintf(mend, "nf_tables"), Costs: "blocking addresses and isolating the host"},
		{Name: "kernel.nfqueue", State: OK, Mend: fmt.Sprintf(mend, "nfnetlink_queue"), Costs: "judging the first packets of a flow before they pass"},
	}
	asks := [][]byte{
		// NFT_MSG_GETGEN of NFNL_SUBSYS_NFTABLES changes nothing.
		nfMessage(10<<8|16, nil),
		// NFQNL_MSG_CONFIG, NFQNL_CFG_CMD_PF_BIND: without effect since 3.8.
		nfMessage(3<<8|2, []byte{8, 0, 1, 0, 3, 0, 0, unix.AF_INET}),
	}
	for i, ask := range asks {
		if err := askNetfilter(ask); err != nil {
			out[i].State, out[i].Reason = Missing, err.Error()
		}
	}
	return out
}

// nfMessage is struct nlmsghdr, struct nfgenmsg and attributes.
func nfMessage(typ uint16, attributes []byte) []byte {
	b := make([]byte, unix.NLMSG_HDRLEN+4, unix.NLMSG_HDRLEN+4+len(attributes))
	b = append(b, attributes...)
	native := binary.NativeEndian
	native.PutUint32(b, uint32(len(b)))
	native.PutUint16(b[4:], typ)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	native.PutUint32(b[8:], 1)
	return b
}

func askNetfilter(ask []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("netfilter socket: %w", err)
	}
	defer unix.Close(fd)
	tv := unix.NsecToTimeval(int64(2 * time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return fmt.Errorf("netfilter socket: %w", err)
	}
	if err := unix.Sendto(fd, ask, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask netfilter: %w", err)
	}
	b := make([]byte, 8192)
	n, _, err := unix.Recvfrom(fd, b, 0)
	if err != nil {
		return fmt.Errorf("netfilter's answer: %w", err)
	}
	return nfAnswer(b[:n])
}

// nfAnswer reads whether the first message is an error.
func nfAnswer(b []byte) error {
	if len(b) < unix.NLMSG_HDRLEN {
		return errors.New("netfilter's answer is cut")
	}
	if binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR {
		return nil
	}
	if len(b) < unix.NLMSG_HDRLEN+4 {
		return errors.New("netfilter's answer is cut")
	}
	if e := int32(binary.NativeEndian.Uint32(b[unix.NLMSG_HDRLEN:])); e != 0 {
		return unix.Errno(-e)
	}
	return nil
}
