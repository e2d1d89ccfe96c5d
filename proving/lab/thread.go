// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs fn on an operating-system thread that is thrown away afterwards, so that fn may
// change namespaces, root folder and capabilities of its thread. Children that fn starts inherit
// them. fn must not start goroutines that rely on them.
func onThread(fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread is what /proc/self shows to everybody: it must stay as it is. Hold
			// it while another thread does the work.
			defer runtime.UnlockOSThread()
			result <- onThread(fn)
			return
		}
		result <- fn() // never unlocked: the thread ends with this goroutine
	}()
	return <-result
}
