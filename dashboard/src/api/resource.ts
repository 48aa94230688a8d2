/** A question and its state, for a panel: it asks when the address changes or the page refreshes, and gives up. */

import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { refreshes } from "../state.ts";
import { ApiError, ask, isPartial, missingIn, remembered } from "./client.ts";
import { onceSeen } from "./seen.ts";
import { sessionEnded } from "./sign_in.ts";

export interface Resource<T> {
  /** The newest answer, which may belong to the question before. */
  data: T | null;
  /** Whether `data` answers the question of now. */
  isCurrent: boolean;
  isAsking: boolean;
  error: ApiError | null;
  /** When the newest answer came, in seconds. */
  answeredAtS: number | null;
  /** When the question was asked, in milliseconds of `performance.now`. */
  askedAtMs: number;
  /** When it is asked again after a failure, in milliseconds of `performance.now`; null: not by itself. */
  againAtMs: number | null;
  /** Whether a person gave the question up. */
  isStopped: boolean;
  /** Give the question up. */
  stop: () => void;
  /** Ask the question again. */
  again: () => void;
}

/** How long to wait before each further try after a failure that may pass, in seconds; the last one repeats. */
const RETRIES_S = [1, 2, 4, 8, 15];

/** Return the state of a question.
 *
 * @param address path and query below the root; null: nothing is asked, as where the panel is out of view
 * @param isFirst whether it has the first figures of the page, which are asked before others
 */
export function useQuestion<T>(address: string | null, isFirst = false): Signal<Resource<T>> {
  const tries = useSignal(0);
  const failures = useRef(0);
  const asking = useRef<AbortController | null>(null);
  const asked = useRef<string | null>(null);
  const state = useSignal<Resource<T>>(
    initial(
      address,
      () => {
        asking.current?.abort();
        state.value = { ...state.value, isAsking: false, isStopped: true };
      },
      () => {
        tries.value += 1;
      },
    ),
  );
  const refresh = refreshes.value;
  const attempt = tries.value;
  useEffect(() => {
    if (address === null) {
      if (state.value.isAsking) state.value = { ...state.value, isAsking: false };
      return;
    }
    const giveUp = new AbortController();
    asking.current = giveUp;
    const isNew = asked.current !== address;
    asked.current = address;
    const known = isNew ? remembered<T>(address) : undefined;
    // Who asks for whole numbers sees no others meanwhile.
    const isDropped = !isPartial(address) && missingIn(state.value.data).length > 0;
    state.value = {
      ...state.value,
      ...(isDropped ? { data: null } : {}),
      ...(known === undefined ? {} : { data: known, error: null }),
      isCurrent: known !== undefined || (!isNew && !isDropped && state.value.isCurrent),
      isAsking: true,
      askedAtMs: performance.now(),
      againAtMs: null,
      isStopped: false,
    };
    let again: ReturnType<typeof setTimeout> | undefined;
    let forgetSeen = () => {};
    ask<T>(address, giveUp.signal, isFirst).then(
      (data) => {
        failures.current = 0;
        state.value = {
          ...state.value,
          data,
          isCurrent: true,
          isAsking: false,
          error: null,
          answeredAtS: Date.now() / 1000,
          askedAtMs: 0,
        };
      },
      (error: unknown) => {
        if (giveUp.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        if (error.status === 401) sessionEnded();
        const waitMs = error.status === 0 || error.status === 503 ? 1000 * waitAfter(error, failures.current) : null;
        const againAtMs = waitMs === null ? null : performance.now() + waitMs;
        state.value = { ...state.value, isAsking: false, error, againAtMs };
        if (waitMs === null) return;
        failures.current += 1;
        again = setTimeout(() => {
          forgetSeen = onceSeen(state.value.again);
        }, waitMs);
      },
    );
    return () => {
      clearTimeout(again);
      forgetSeen();
      giveUp.abort();
    };
  }, [address, refresh, attempt]);
  return state;
}

function waitAfter({ retryAfterS }: ApiError, failures: number): number {
  return retryAfterS ?? RETRIES_S[Math.min(failures, RETRIES_S.length - 1)] ?? 15;
}

function initial<T>(address: string | null, stop: () => void, again: () => void): Resource<T> {
  const known = address === null ? undefined : remembered<T>(address);
  return {
    data: known ?? null,
    isCurrent: known !== undefined,
    isAsking: address !== null,
    error: null,
    answeredAtS: null,
    askedAtMs: performance.now(),
    againAtMs: null,
    isStopped: false,
    stop,
    again,
  };
}
