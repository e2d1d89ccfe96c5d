// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Boot runs a kernel on an image in an emulated machine with two processors, until the
// guest powers off or ctx ends, and reads what it told. The console is kept in
// dir/console, the report in dir/report. A guest that did not come to its end is an error
// with the last of its console; what it told until then comes with it.
//
// Both processors share one thread of QEMU: with a thread each (QEMU 7.2), one runs code
// while the other patches it, and 6.12 dies of a stray breakpoint, 5.10 hangs.
func Boot(ctx context.Context, kernelImage, image, dir string) (*Report, error) {
	console, report := filepath.Join(dir, "console"), filepath.Join(dir, "report")
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-nodefaults", "-display", "none", "-no-reboot", "-accel", "tcg,thread=single", "-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "1536",
		"-kernel", kernelImage, "-initrd", image,
		"-append", "console=ttyS0 loglevel=5 panic=-1 oops=panic rdinit=/init mitigations=off",
		"-serial", "file:"+console, "-serial", "file:"+report)
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("run the guest: %w: %.200s (needs qemu-system-x86)", err, out)
	}
	f, ferr := os.Open(report)
	if ferr != nil {
		return nil, fmt.Errorf("run the guest: %w: %.200s", errors.Join(err, ferr), out)
	}
	defer f.Close()
	rep, err := ReadReport(f)
	if err == nil && !rep.Done {
		tail, _ := os.ReadFile(console) // none: nothing to show
		err = fmt.Errorf("the guest did not come to its end (%v); its console ends: %s", context.Cause(ctx), tail[max(0, len(tail)-1500):])
	}
	return rep, err
}
