// Command publish publishes as a service: SWITCHBOARD_GRPC, SWITCHBOARD_API_KEY, SWITCHBOARD_CHANNEL.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"switchboard/service"
)

func main() {
	if err := publish(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func publish(ctx context.Context) error {
	hub, err := service.Connect(os.Getenv("SWITCHBOARD_GRPC"), service.Options{APIKey: os.Getenv("SWITCHBOARD_API_KEY")})
	if err != nil {
		return err
	}
	defer func() { _ = hub.Close() }()
	channel := os.Getenv("SWITCHBOARD_CHANNEL")
	published, err := hub.Publish(ctx, service.Item{Channel: channel, Data: map[string]any{"order": 42, "state": "paid"}})
	if err != nil {
		return err
	}
	fmt.Printf("published at offset %d\n", published.Position.Offset)
	counts, err := hub.CountMembers(ctx, channel)
	if err != nil {
		return err
	}
	fmt.Printf("%d members\n", counts[0].Members)
	return nil
}
