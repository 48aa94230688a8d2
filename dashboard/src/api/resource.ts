/** A question and its state, for a panel: it asks when the address changes or the page refreshes, and gives up. */

import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { refreshes } from "../state.ts";
import { ApiError, ask, remembered } from "./client.ts";
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
}

/** How long to wait before each further try after a failure that may pass, in seconds; the last one repeats. */
const RETRIES_S = [1, 2, 4, 8, 15];

/** Return the state of a question.
 *
 * @param address path and query below the root; null: nothing is asked, as where the panel is out of view
 * @param isFirst whether it has the first figures of the page, which are asked before others
 */
export function useQuestion<T>(address: string | null, isFirst = false): Signal<Resource<T>> {
  const state = useSignal<Resource<T>>(initial(address));
  const retry = useSignal(0);
  const asked = useRef<string | null>(null);
  const refresh = refreshes.value;
  const attempt = retry.value;
  useEffect(() => {
    if (address === null) return;
    const giveUp = new AbortController();
    const isNew = asked.current !== address;
    asked.current = address;
    const known = isNew ? remembered<T>(address) : undefined;
    state.value = {
      ...state.value,
      ...(known === undefined ? {} : { data: known, error: null }),
      isCurrent: known !== undefined || (!isNew && state.value.isCurrent),
      isAsking: true,
      askedAtMs: performance.now(),
    };
    let again: ReturnType<typeof setTimeout> | undefined;
    ask<T>(address, giveUp.signal, isFirst).then(
      (data) => {
        retry.value = 0;
        state.value = {
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
        state.value = { ...state.value, isAsking: false, error };
        if (error.status === 0 || error.status === 503) {
          const waitS = error.retryAfterS ?? RETRIES_S[Math.min(attempt, RETRIES_S.length - 1)] ?? 15;
          again = setTimeout(() => {
            retry.value = attempt + 1;
          }, waitS * 1000);
        }
      },
    );
    return () => {
      clearTimeout(again);
      giveUp.abort();
    };
  }, [address, refresh, attempt]);
  return state;
}

function initial<T>(address: string | null): Resource<T> {
  const known = address === null ? undefined : remembered<T>(address);
  return {
    data: known ?? null,
    isCurrent: known !== undefined,
    isAsking: address !== null,
    error: null,
    answeredAtS: null,
    askedAtMs: performance.now(),
  };
}
