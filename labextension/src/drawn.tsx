/** Draws again in the same moment as a model changes: a cursor in a field stays where it is. */
import type { ISignal } from '@lumino/signaling';
import React, { useEffect, useReducer } from 'react';

export interface DrawnProps {
  changed: ISignal<unknown, void>;
  draw: () => JSX.Element;
}

export function Drawn({ changed, draw }: DrawnProps): JSX.Element {
  const [, again] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    const told = () => again();
    changed.connect(told);
    told(); // what happened before
    return () => void changed.disconnect(told);
  }, [changed]);
  return <>{draw()}</>;
}
