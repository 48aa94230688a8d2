/** A call of management and its changes, under the admin key that Settings holds, else under the session. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { change } from "../api/client.ts";
import { useRefusal } from "../parts/Form.tsx";
import { adminKey } from "../session.ts";

/** Return the answer of a call of management, which is asked again after each change, and what was refused. */
export function useManaged<T>(address: string) {
  const data = useSignal<T | null>(null);
  const { problem, run } = useRefusal();
  const load = async () => {
    await run(async () => {
      data.value = await change<T>("GET", address, undefined, adminKey.value ?? undefined);
    });
  };
  const act = (method: string, path: string, body?: unknown) =>
    run(async () => {
      await change(method, path, body, adminKey.value ?? undefined);
      await load();
    });
  useEffect(() => {
    load();
  }, [address, adminKey.value]);
  return { data, problem, act, run, load };
}
