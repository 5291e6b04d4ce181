// Command generate writes internal/api from the repository's proto files, with the generators that go.mod pins.
//
//	go run ./internal/generate [DIRECTORY]
//
// It compiles the files itself, so that no protoc is needed. The code is committed, so that nobody needs a generator to build; a test
// holds it against what this gives.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/pluginpb"
)

const (
	protos  = "../../proto"
	target  = "switchboard/internal/api"
	options = "paths=source_relative"
)

var files = []string{"switchboard/api/v1/types.proto", "switchboard/api/v1/publish.proto", "switchboard/api/v1/presence.proto"}

func main() {
	into := "internal/api"
	if len(os.Args) > 1 {
		into = os.Args[1]
	}
	if err := generate(context.Background(), into); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func generate(ctx context.Context, into string) error {
	compiler := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{ImportPaths: []string{protos}},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, files...)
	if err != nil {
		return err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: files}
	parameter := options
	for _, file := range compiled {
		request.ProtoFile = append(request.ProtoFile, protodesc.ToFileDescriptorProto(file))
		parameter += fmt.Sprintf(",M%s=%s", file.Path(), target)
	}
	for _, generator := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		request.Parameter = proto.String(parameter)
		if err := run(ctx, generator, request, into); err != nil {
			return fmt.Errorf("%s: %w", generator, err)
		}
	}
	return nil
}

func run(ctx context.Context, generator string, request *pluginpb.CodeGeneratorRequest, into string) error {
	asked, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "go", "tool", generator)
	command.Stdin, command.Stderr = bytes.NewReader(asked), os.Stderr
	told, err := command.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(told, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return fmt.Errorf("it says: %s", response.GetError())
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	for _, file := range response.File {
		if err := os.WriteFile(filepath.Join(into, filepath.Base(file.GetName())), []byte(file.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
