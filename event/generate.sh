#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes the Go code of the three schemas. Needs protoc, protoc-gen-go and
# protoc-gen-go-vtproto of the versions in go.mod; a build does not.
set -eu
cd "$(dirname "$0")/.."
protoc -I. \
  --go_out=. --go_opt=module=github.com/ringwall/ringwall \
  --go-vtproto_out=. --go-vtproto_opt=module=github.com/ringwall/ringwall,features=marshal+unmarshal+size+clone \
  entity/entity.proto verdict/verdict.proto event/event.proto
