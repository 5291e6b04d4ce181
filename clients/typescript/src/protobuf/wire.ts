// Protobuf's wire format, as much of it as the client protocol needs: varints up to 2^53, and bytes with their length.

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** Writes one message. Defaults are left out, as proto3 has it. */
export class Writer {
  readonly #bytes: number[] = [];

  #varint(value: number): void {
    let rest = value;
    // Not by bit operations: they end at 32 bits.
    while (rest > 127) {
      this.#bytes.push((rest % 128) + 128);
      rest = Math.floor(rest / 128);
    }
    this.#bytes.push(rest);
  }

  number(field: number, value: number | boolean | undefined): this {
    return value ? this.present(field, Number(value)) : this;
  }

  /** Written though it may be the default, unless it is absent: `optional`, and members of a oneof. */
  present(field: number, value: number | undefined): this {
    if (value === undefined) return this;
    this.#varint(field * 8);
    this.#varint(value);
    return this;
  }

  bytes(field: number, value: Uint8Array | undefined): this {
    if (value === undefined) return this;
    this.#varint(field * 8 + 2);
    this.#varint(value.length);
    for (const byte of value) this.#bytes.push(byte);
    return this;
  }

  text(field: number, value: string | undefined): this {
    return value ? this.bytes(field, utf8.encode(value)) : this;
  }

  /** A message within the message, written though it may be empty. */
  message(field: number, write: (writer: Writer) => unknown): this {
    const inner = new Writer();
    write(inner);
    return this.bytes(field, inner.finish());
  }

  finish(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#bytes);
  }
}

/** A field's value: a number, or the bytes of a text or a message. */
export interface Value {
  number: number;
  bytes: Uint8Array;
}

/** Reads a message's fields in order; unknown ones are told as well, for the caller to pass over. */
export function read(bytes: Uint8Array, field: (number: number, value: Value) => void): void {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      if (byte === undefined || factor > 2 ** 63) throw new Error('a protobuf message is cut short');
      value += (byte % 128) * factor;
      if (byte < 128) return value;
    }
  };
  const none = new Uint8Array();
  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0:
        field(number, { number: varint(), bytes: none });
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const end = varint() + at;
        if (end > bytes.length) throw new Error('a protobuf message is cut short');
        field(number, { number: 0, bytes: bytes.subarray(at, end) });
        at = end;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        throw new Error(`a protobuf field of wire type ${tag % 8}`);
    }
  }
}

/** Bytes as text. */
export const readText = (bytes: Uint8Array): string => text.decode(bytes);
/** Text as bytes. */
export const writeText = (value: string): Uint8Array => utf8.encode(value);
