// What every transport gives: a link to one session. Frames come in, commands go out, and in the end it is lost or closed.

import type { Codec } from '../codec.js';
import type { Loss } from '../machine/verdict.js';
import type { Command, Frame } from '../protocol.js';

/** As much of a WebSocket's constructor as is used. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

/** As much of a WebSocket as is used: the browser's, or the package `ws`. */
export interface WebSocketLike {
  binaryType: string;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
  addEventListener(type: 'open' | 'error', listener: () => void): void;
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void;
  addEventListener(type: 'close', listener: (event: { code: number; reason: string }) => void): void;
}

/** What a link is opened with. */
export interface LinkOptions {
  /** The hub, such as `https://hub.example.com`; a path before `/v1/` is kept. */
  base: string;
  token: string | undefined;
  /** A heartbeat is asked for at this interval, in seconds. */
  heartbeatS: number;
  /** How long a poll may wait, in seconds. */
  pollWaitS: number;
  /** How long a POST of commands, or a question why, may take. */
  requestMs: number;
  /** Whether cookies go along to another origin. */
  withCredentials: boolean;
  codec: Codec;
  fetch: typeof fetch;
  WebSocket: WebSocketConstructor | undefined;
}

/** Whom a link tells. Nothing comes after `lost`, nor after the link was closed. */
export interface LinkEvents {
  frame(frame: Frame): void;
  /** Something came, be it no frame. */
  heard(): void;
  lost(loss: Loss): void;
}

/** A hold on a session. */
export interface Link {
  /** Commands in order. Before the `open` frame they wait. */
  send(commands: Command[]): void;
  close(): void;
}

/** Opens a link of one transport. */
export type OpenLink = (options: LinkOptions, events: LinkEvents) => Link;

/** Lets nothing through after the end, and one loss only. */
export function once(events: LinkEvents): LinkEvents & { end(): boolean } {
  let ended = false;
  return {
    frame: (frame) => {
      if (!ended) events.frame(frame);
    },
    heard: () => {
      if (!ended) events.heard();
    },
    lost: (loss) => {
      if (ended) return;
      ended = true;
      events.lost(loss);
    },
    /** Says whether it was not ended before. */
    end: () => {
      const was = ended;
      ended = true;
      return !was;
    },
  };
}
