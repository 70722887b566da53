/** Notifications of sentences that may be longer than JupyterLab shows of one. */
import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

/** JupyterLab shows no more of a notification. */
const MOST = 140; // characters
const BEGINNING = 50; // of them, at least, are of the beginning

export interface Told {
  text: string;
  /** Of the dialog that has all of it. */
  title: string;
  /** An error stays until it is closed. */
  kind: 'error' | 'info';
  trans: TranslationBundle;
}

/** What does not fit is read in a dialog. */
export function notify({ text, title, kind, trans }: Told): void {
  const whole = {
    label: trans.__('Read It All'),
    callback: () => void showDialog({ title, body: text, buttons: [Dialog.okButton()] })
  };
  const short = shortened(text);
  const actions = short === text ? [] : [whole];
  if (kind === 'error') {
    Notification.error(short, { autoClose: actions.length > 0 ? false : 10000, actions });
  } else {
    Notification.info(short, { autoClose: 15000, actions });
  }
}

/** Sentences end with what to do: so the middle is left out. */
export function shortened(text: string): string {
  if (text.length <= MOST) {
    return text;
  }
  const gap = ' … ';
  const ends = [...text.matchAll(/[.;:,] (?=\S)/g)].map(each => text.slice(each.index + 2));
  const end = ends.find(each => each.length <= MOST - BEGINNING - gap.length);
  if (end === undefined) {
    return `${text.slice(0, MOST - 1).replace(/\s+\S*$/, '')}…`;
  }
  const beginning = text.slice(0, MOST - end.length - gap.length).replace(/[\s.,;:]+\S*$/, '');
  return `${beginning}${gap}${end}`;
}
