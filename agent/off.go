// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The panic switch of an agent that runs, without brain or bus: whoever may write in
// its data folder (0700) lays a file there, and the agent answers in it.
const (
	offAsked  = "off.asked"
	offAnswer = "off.answer"
)

type offSaid struct {
	PID   int    `json:"pid"`
	Error string `json:"error"`
}

// AskOff asks the agent that runs on a data folder to take every action back, and
// waits for its answer. It gives the agent's process.
func AskOff(ctx context.Context, data string) (pid int, err error) {
	asked, answer := filepath.Join(data, offAsked), filepath.Join(data, offAnswer)
	if err := os.Remove(answer); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("ask the agent to take everything back: %w", err)
	}
	if err := os.WriteFile(asked, nil, 0o600); err != nil {
		return 0, fmt.Errorf("ask the agent to take everything back: %w", err)
	}
	defer os.Remove(asked)
	for {
		if raw, err := os.ReadFile(answer); err == nil {
			_ = os.Remove(answer)
			var said offSaid
			switch err := json.Unmarshal(raw, &said); {
			case err != nil:
				return 0, fmt.Errorf("the agent's answer to off: %w", err)
			case said.Error != "":
				return said.PID, fmt.Errorf("the agent could not take everything back: %s", said.Error)
			}
			return said.PID, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("the agent on %s does not answer: %w; stop it and say off again", data, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// offAsked takes everything back when that was asked for.
func (a *Agent) offAsked(ctx context.Context) {
	asked := filepath.Join(a.opt.Data, offAsked)
	if _, err := os.Stat(asked); err != nil {
		return
	}
	_ = os.Remove(asked)
	said := offSaid{PID: os.Getpid()}
	if a.enforce != nil {
		if err := a.enforce.Off(ctx); err != nil {
			said.Error = err.Error()
		}
	}
	a.answer(offAnswer, said)
}
